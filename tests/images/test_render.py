"""Renders: silhouettes of the right size and side, looks from the seed alone, all of a data set."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bodies import facing, mirrored, random_bodies
from tiny_world import MACHINE
from torch import Tensor

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.camera import View, frame_bodies, project
from pmnet.body.parts import BODY_PARTS, JOINTS
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.images import making
from pmnet.images.file import Pixels
from pmnet.images.making import make_images
from pmnet.images.options import Images
from pmnet.images.render import (
    PLAIN_BACKGROUND,
    PLAIN_PALETTE,
    SKIN_TONE,
    Looks,
    Renderer,
    draw_backgrounds,
    draw_looks,
    silhouettes,
    to_pixels,
    vertex_materials,
)

LEVEL = View(0.0, 0.0, 0.0, 0.0, margin=0.9, margin_spread=0.0, shift=0.0)
SIZE_PX = 64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def framed(body: BodyModel, params: BodyParams) -> Tensor:
    return frame_bodies(body.vertices(params), LEVEL, seeded())


def people(n: int, seed: int = 0) -> BodyParams:
    """Return bodies of many poses, all upright before the camera."""
    params = random_bodies(n, seed, spread=0.3)
    params.rotmats[:, 0] = facing().rotmats[:, 0]
    return params


# --- geometry


def test_points_in_pixels_by_hand():
    vertices = torch.tensor([[[0.0, 0.0, 5.0], [1.0, -1.0, 3.0], [-1.0, 0.5, 4.0]]])
    points = to_pixels(vertices, torch.tensor([[0.5, 0.0, 0.5]]), 100)
    expected = [[[50.0, 75.0, 3.0], [75.0, 50.0, 1.0], [25.0, 87.5, 2.0]]]
    torch.testing.assert_close(points, torch.tensor(expected))


def test_a_silhouette_has_the_area_of_a_person(body):
    params = facing(left_shoulder=(0, 0, -70), right_shoulder=(0, 0, 70))
    cameras = framed(body, params)
    areas = {}
    for size_px in (64, 128, 256):
        mask = silhouettes(body, params, cameras, size_px)
        assert mask.shape == (1, size_px, size_px)
        areas[size_px] = mask.sum().item() * (2 / size_px / cameras[0, 0].item()) ** 2
    assert 0.35 < areas[256] < 0.75  # m2 of an adult seen from the front
    assert areas[64] == pytest.approx(areas[256], rel=0.03)
    assert areas[128] == pytest.approx(areas[256], rel=0.015)


def test_a_silhouette_fills_the_box_of_its_vertices(body):
    params = people(4)
    cameras = framed(body, params)
    masks = silhouettes(body, params, cameras, 128)
    seen = (project(body.vertices(params), cameras) * 0.5 + 0.5) * 128
    for mask, low, high in zip(masks, seen.amin(1), seen.amax(1), strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        box = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        torch.testing.assert_close(box.float(), torch.cat([low, high]), atol=2.5, rtol=0)


def test_joints_lie_inside_the_silhouette(body):
    params = people(20)
    cameras = framed(body, params)
    masks = silhouettes(body, params, cameras, 128)
    joints = ((project(body.joints(params), cameras) * 0.5 + 0.5) * 128).long()
    inside = torch.stack(
        [mask[y, x] for mask, (x, y) in zip(masks, joints.mT.unbind(0), strict=True)]
    )
    assert inside.float().mean() > 0.97
    assert inside.float().mean(0).min() >= 0.9, JOINTS[int(inside.float().mean(0).argmin())]


def test_a_mirrored_body_has_the_mirrored_silhouette(body):
    params = people(6)
    other = mirrored(params)
    # the mirror image of half a turn about x is half a turn about x
    torch.testing.assert_close(other.rotmats[:, 0], params.rotmats[:, 0], atol=1e-5, rtol=0)
    cameras = framed(body, params)
    flipped = cameras * torch.tensor([1.0, -1.0, 1.0])
    masks = silhouettes(body, params, cameras, 128)
    mirror = silhouettes(body, other, flipped, 128).flip(2)
    assert (masks == mirror).float().mean() > 0.999
    assert (masks == mirror.flip(2)).float().mean() < 0.97


def test_the_left_hand_is_on_the_right_of_an_image_from_the_front(body):
    params = facing(right_shoulder=(0, 0, 80))  # the left arm is out, the right one down
    mask = silhouettes(body, params, framed(body, params), SIZE_PX)[0]
    low, high = mask.any(0).nonzero()[[0, -1], 0].tolist()
    joints = (project(body.joints(params), framed(body, params)) * 0.5 + 0.5) * SIZE_PX
    middle = joints[0, JOINTS.index("pelvis"), 0].item()
    assert high - middle > 1.5 * (middle - low)


def test_a_body_outside_of_the_image_leaves_only_the_background(body):
    params = facing()
    camera = torch.tensor([[0.5, 10.0, 0.0]])
    assert not silhouettes(body, params, camera, 32).any()
    looks = draw_looks(1, 0.3, 0.0, seeded())
    image = Renderer(body, 32, 2, 0.0, 0)(params, camera, looks)
    assert len(image[0].flatten(1).unique(dim=1)[0]) == 1  # plain grey


# --- looks


def test_materials_dress_the_body(body):
    materials = vertex_materials(body)
    counts = torch.bincount(materials, minlength=5)
    assert (counts > 100).all() and counts.sum() == 6890
    head, foot, hand = (list(BODY_PARTS).index(part) for part in ("head", "foot", "hand"))
    assert set(materials[body.parts == foot].tolist()) == {3}
    assert set(materials[body.parts == hand].tolist()) == {0}
    assert set(materials[body.parts == head].tolist()) == {0, 4}
    template = body.reference.v_template
    assert template[materials == 4, 1].mean() > template[body.parts == head, 1].mean()
    assert template[materials == 1, 1].mean() > template[materials == 2, 1].mean()
    assert set(materials[body.lbs_weights.argmax(1) == JOINTS.index("left_knee")].tolist()) == {2}


def test_without_variety_all_are_dressed_alike():
    looks = draw_looks(50, 0.0, 0.0, seeded())
    expected = torch.tensor(PLAIN_PALETTE).expand(50, 5, 3)
    torch.testing.assert_close(looks.palette, expected)
    assert looks.light.norm(dim=1).sub(1).abs().max() < 1e-6
    spread = [draw_looks(200, v, 0.0, seeded()).palette.std(0).mean() for v in (0.0, 0.3, 1.0)]
    assert spread[0] < spread[1] < spread[2]
    grey = draw_backgrounds(3, 20, 0.0, seeded())
    assert grey.unique().tolist() == [int(PLAIN_BACKGROUND * 255)]
    varied = draw_backgrounds(20, 20, 1.0, seeded()).float()
    assert varied.std() > 30 and varied.std((2, 3)).min() > 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_wears_nothing_but_skin(share):
    looks = draw_looks(400, 0.5, share, seeded())
    bare = (looks.palette == looks.palette[:, :1]).all((1, 2))
    assert bare.float().mean().item() == pytest.approx(share, abs=0.07)
    tone = looks.palette[bare] / torch.tensor(SKIN_TONE)
    assert ((tone >= 0.349) & (tone <= 1.001)).all()


def test_looks_come_from_the_generator_alone():
    first, again, other = (draw_looks(5, 0.5, 0.1, seeded(seed)) for seed in (1, 1, 2))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name)), name
        assert not torch.equal(value, getattr(other, name)), name
    assert torch.equal(first[slice(2, 4)].tint, first.tint[2:4])


# --- images


@pytest.fixture(scope="module")
def scene(body) -> tuple[BodyParams, Tensor, Looks]:
    params = people(6)
    return params, framed(body, params), draw_looks(6, 0.3, 0.0, seeded())


def assert_alike(images: Tensor, others: Tensor) -> None:
    """Check that images are equal but for pixels whose face is decided by the last bit."""
    assert images.shape == others.shape
    assert (images != others).any(1).float().mean() < 1e-3


def test_images_come_from_their_seeds_alone(body, scene):
    first, again, other = (Renderer(body, SIZE_PX, 2, 0.3, seed)(*scene) for seed in (0, 0, 1))
    assert first.shape == (6, 3, SIZE_PX, SIZE_PX) and first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_image_does_not_depend_on_its_company(body, scene):
    params, cameras, looks = scene
    renderer = Renderer(body, SIZE_PX, 2, 0.3, 0)
    together = renderer(*scene)
    for rows in (slice(0, 1), slice(2, 5)):
        some = renderer(params[rows], cameras[rows], looks[rows])
        assert_alike(some, together[rows])


def test_what_lies_outside_of_the_silhouette_is_background(body, scene):
    params, cameras, looks = scene
    renderer = Renderer(body, SIZE_PX, 1, 0.3, 0)
    images, others = renderer(*scene), renderer(people(6, seed=5), cameras, looks)
    masks = silhouettes(body, params, cameras, SIZE_PX)
    masks |= silhouettes(body, people(6, seed=5), cameras, SIZE_PX)
    same = (images == others).all(1)
    assert same[~masks].all()
    assert same[masks].float().mean() < 0.5


def test_a_light_from_the_camera_is_brighter_than_one_from_behind(body, scene):
    params, cameras, looks = scene
    masks = silhouettes(body, params, cameras, SIZE_PX)
    renderer = Renderer(body, SIZE_PX, 1, 0.0, 0)
    means = []
    for z in (-1.0, 1.0):  # z points away from the camera
        light = torch.tensor([[0.0, 0.0, z]]).expand(6, 3)
        images = renderer(params, cameras, replace(looks, light=light))
        means.append(images.permute(0, 2, 3, 1)[masks].float().mean().item())
    assert means[0] > 1.5 * means[1]


def test_supersampling_keeps_the_image_and_softens_its_edges(body, scene):
    plain, soft = (Renderer(body, SIZE_PX, s, 0.0, 0)(*scene).float() for s in (1, 3))
    assert (plain - soft).abs().mean() < 5
    assert soft.diff(dim=-1).abs().amax() <= plain.diff(dim=-1).abs().amax()


# --- all of a data set

OPTIONS = Images(
    size_px=24,
    context=1.0,
    max_missing=0.0,
    upright=None,
    max_megapixels=179,
    encoding="raw",
    jpeg_quality=90,
    supersampling=1,
    variety=0.3,
    skin_share=0.0,
    seed=0,
)


@pytest.fixture
def samples(body, tmp_path) -> Samples:
    families = {"stand": 1.0, "kick": 1.0}
    options = synthetic.Options(20, families, 5.0, 0.5, LEVEL, seed=0)
    return synthetic.read("toy", Path("unused"), options, body)


def made(samples: Samples, folder: Path, options: Images = OPTIONS) -> bytes:
    """Return the file of images that is made from samples."""
    samples.save(folder / "samples.arrow")
    make_images(folder / "samples.arrow", OPEN_BODY, folder / "images.arrow", options, MACHINE)
    return (folder / "images.arrow").read_bytes()


def test_a_data_set_has_one_image_a_sample(body, samples, tmp_path):
    made(samples, tmp_path)
    pixels = Pixels(tmp_path / "images.arrow")
    assert (len(pixels), pixels.size_px, pixels.encoding) == (20, 24, "raw")
    looks = draw_looks(20, OPTIONS.variety, OPTIONS.skin_share, seeded(OPTIONS.seed))
    renderer = Renderer(body, 24, 1, OPTIONS.variety, OPTIONS.seed)
    rows = slice(17, 20)
    expected = renderer(samples.body_params(rows), samples.camera[rows], looks[rows])
    assert_alike(pixels.read(torch.arange(17, 20)), expected)


def test_images_do_not_depend_on_how_the_work_is_cut(samples, tmp_path, monkeypatch):
    whole = made(samples, tmp_path)
    images = Pixels(tmp_path / "images.arrow").read(torch.arange(20))
    assert made(samples, tmp_path) == whole
    monkeypatch.setattr(making, "CPU_BATCH", 7)
    made(samples, tmp_path)
    assert_alike(Pixels(tmp_path / "images.arrow").read(torch.arange(20)), images)
    made(samples, tmp_path, replace(OPTIONS, seed=1))
    assert not torch.equal(Pixels(tmp_path / "images.arrow").read(torch.arange(20)), images)


def test_samples_without_a_camera_are_not_rendered(samples, tmp_path):
    camera = samples.camera.clone()
    camera[13, 1] = torch.nan
    with pytest.raises(InputError, match=r"samples\.arrow: row 13 has no camera"):
        made(replace(samples, camera=camera), tmp_path)
    assert not (tmp_path / "images.arrow").exists()


def test_no_samples_make_no_images(samples, tmp_path):
    none = samples.select(torch.empty(0, dtype=torch.long))
    with pytest.raises(InputError, match=r"samples\.arrow: no samples, so there are no images"):
        made(none, tmp_path)
