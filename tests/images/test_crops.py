"""Crops of real images: the box to a fraction of a pixel, black outside, files that are not there."""

from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import people
import pytest
import torch
from broken import cut
from PIL import Image
from tiny_world import MACHINE
from torch import Tensor

from pmnet.body import OPEN_BODY
from pmnet.body.camera import fit_camera
from pmnet.body.keypoints import J24
from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.units import box_around
from pmnet.images.crops import Cropper, cut_square
from pmnet.images.file import Pixels
from pmnet.images.making import make_images
from pmnet.images.options import Images
from pmnet.images.render import silhouettes

N, SIZE_PX = 6, 112
OPTIONS = Images(
    size_px=SIZE_PX,
    context=1.0,
    max_missing=0.0,
    upright=None,
    max_megapixels=179,
    encoding="raw",
    jpeg_quality=95,
    supersampling=1,
    variety=0.0,
    skin_share=0.0,
    seed=0,
)


def ingest(root: Path, names: list[str]) -> Samples:
    """Return the people as samples whose images are files below `root`."""
    drawn = people.draw_people(N)
    points = drawn.keypoints_px
    center, scale = box_around(points, np.ones((N, len(J24)), bool))
    rows = Rows(
        image_name=names,
        center=center,
        scale=scale,
        poses=drawn.poses,
        betas=drawn.betas,
        keypoints_2d=np.concatenate([points, np.ones((N, 24, 1))], 2),
    )
    return to_samples("scenes", rows, root / "rows.npz", root, people.open_body())


def write_scenes(root: Path, suffix: str = ".jpg") -> Samples:
    """Write the scenes of people as files and return their samples."""
    names = [f"scene/{row:03d}{suffix}" for row in range(N)]
    for row, name in enumerate(names):
        people.draw_people(N).write(row, root / name)
    return ingest(root, names)


def make(samples: Samples, folder: Path, **options: object) -> Pixels:
    """Return the images that the stage makes of samples."""
    samples.save(folder / "samples.arrow")
    out = folder / "images.arrow"
    make_images(
        folder / "samples.arrow", OPEN_BODY, out, replace(OPTIONS, **options), MACHINE, "train"
    )
    return Pixels(out)


def meshes(samples: Samples, context: float = 1.0) -> Tensor:
    """Return the silhouettes of the samples' bodies by the cameras that fit their 2D keypoints."""
    body, params = people.open_body(), samples.body_params()
    bones = body.keypoints(body.vertices(params))
    cameras = fit_camera(bones, samples.keypoints_in_crop(), samples.keypoints_2d[..., 2])
    return silhouettes(body, params, cameras / context, round(SIZE_PX * context))


def ramp(height: int, width: int) -> Image.Image:
    """Return an image whose value is the x (red) and y (green) of a pixel's centre, less 0.5."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return Image.fromarray(np.stack([x, y, x * 0], 2))


# --- where a crop lies


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("context", [1.0, 1.5])
def test_a_person_is_where_the_sample_says(tmp_path, suffix, context):
    masks = people.draw_people(N).masks
    names = [f"{row}{suffix}" for row in range(N)]
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask.numpy()).convert("RGB").save(tmp_path / name)
    samples = ingest(tmp_path, names)
    pixels = make(samples, tmp_path, context=context)
    seen = pixels.read_stored(torch.arange(N))[:, 0] > 127
    mesh = meshes(samples, context)
    overlap = (mesh & seen).sum((1, 2)) / (mesh | seen).sum((1, 2))
    assert overlap.min() >= 0.93
    assert pixels.present.all() and pixels.stored_px == SIZE_PX * context


@pytest.mark.parametrize("width", [20.3, 57.0, 131.7])
def test_a_crop_is_right_to_a_fraction_of_a_pixel(width):
    center = (101.37, 77.81)
    found = np.array(cut_square(ramp(150, 200), center, width, 32)).astype(float)
    places = (np.arange(32) + 0.5) / 32 * width - width / 2 - 0.5
    assert np.abs(found[..., 0] - (center[0] + places)).max() < 0.6
    assert np.abs(found[..., 1] - (center[1] + places)[:, None]).max() < 0.6
    assert abs((found[..., 0] - (center[0] + places)).mean()) < 0.1


def test_a_box_of_the_crop_s_own_size_is_copied():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8))
    found = np.array(cut_square(image, (30.0, 25.0), 16.0, 16))
    assert np.array_equal(found, np.array(image)[17:33, 22:38])


def test_outside_of_the_image_all_is_black():
    white = Image.new("RGB", (40, 40), "white")
    found = np.array(cut_square(white, (0.0, 20.0), 20.0, 10))
    assert (found[:, :4] == 0).all() and (found[:, 6:] == 255).all()
    assert (found[:, 4] < 64).all() and (found[:, 5] > 191).all()  # as wide as the filter
    found = np.array(cut_square(white, (20.0, 20.0), 80.0, 40))
    assert (found[11:29, 11:29] == 255).all()
    found[9:31, 9:31] = 0
    assert (found == 0).all()


@pytest.mark.parametrize("width", [100.0, 800.0])
def test_large_people_do_not_alias(width):
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    found = np.array(cut_square(Image.fromarray(stripes), (450.0, 450.0), width, 24))
    assert np.abs(found.astype(int) - 127).max() < 12


def test_what_is_averaged_first_lies_where_it_did():
    y, x = np.mgrid[:1000, :1200]
    disc = ((x - 600) ** 2 + (y - 480) ** 2 < 200**2).astype(np.uint8) * 255
    found = np.array(
        cut_square(Image.fromarray(np.stack([disc] * 3, 2)), (610.0, 500.0), 900.0, 24)
    )
    light = found[..., 0] / found[..., 0].sum()
    axis = (np.arange(24) + 0.5) / 24 * 900 - 450
    assert (light.sum(0) * axis).sum() == pytest.approx(-9.5, abs=1.0)
    assert (light.sum(1) * axis).sum() == pytest.approx(-19.5, abs=1.0)


def test_the_context_surrounds_the_same_crop(tmp_path):
    samples = write_scenes(tmp_path, ".png")
    narrow = make(samples, tmp_path).read(torch.arange(N)).int()
    wide = make(samples, tmp_path, context=1.25).read(torch.arange(N)).int()
    assert (narrow - wide).abs().max() <= 1


# --- kinds of files


def test_kinds_of_files_give_the_same_crop(tmp_path):
    samples = write_scenes(tmp_path, ".png")
    image = Image.open(tmp_path / samples.image_name[0])
    image.convert("RGBA").save(tmp_path / "rgba.png")
    image.convert("L").save(tmp_path / "grey.png")
    image.convert("L").save(tmp_path / "grey.jpg", quality=98)
    image.save(tmp_path / "turned.jpg", quality=98, exif=_orientation(6))
    names = ["rgba.png", "grey.png", "grey.jpg", "turned.jpg"]
    again = replace(samples.select(torch.zeros(4, dtype=torch.long)), image_name=names)
    first = Cropper(samples, SIZE_PX, 1.0)(slice(0, 1))[0][0].float()
    rgba, grey, grey_jpeg, turned = Cropper(again, SIZE_PX, 1.0)(slice(0, 4))[0].float()
    assert torch.equal(rgba, first)
    assert (grey == grey[:1]).all() and (grey - first.mean(0)).abs().mean() < 20
    assert (grey_jpeg - grey).abs().mean() < 2
    assert (turned - first).abs().mean() < 4  # as stored, whatever EXIF says


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


# --- files that are not there


def spoil(root: Path, samples: Samples) -> dict[int, str]:
    """Break three files and return why each cannot be cropped."""
    (root / samples.image_name[0]).unlink()
    cut(root / samples.image_name[2], 0.5)
    (root / samples.image_name[3]).write_text("<html>404</html>")
    return {0: "no such file", 2: "truncated", 3: "cannot identify"}


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_few_broken_files_are_black_and_listed(tmp_path, capsys, suffix):
    samples = write_scenes(tmp_path, suffix)
    whole = make(samples, tmp_path).read(torch.arange(N))
    reasons = spoil(tmp_path, samples)
    pixels = make(samples, tmp_path, max_missing=0.5)
    assert pixels.present.tolist() == [False, True, False, False, True, True]
    read = pixels.read(torch.arange(N))
    assert (read[~pixels.present] == 0).all()
    assert torch.equal(read[pixels.present], whole[pixels.present])
    lines = capsys.readouterr().err
    assert "3 of 6 images are missing or broken and stay black" in lines
    for row, reason in reasons.items():
        assert f"{samples.image_name[row]} (" in lines and reason in lines


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_too_many_broken_files_are_one_error(tmp_path, share):
    samples = write_scenes(tmp_path)
    spoil(tmp_path, samples)
    named = r"samples\.arrow: \d of 6 images are missing or broken below .*scene/000\.jpg \(no such"
    with pytest.raises(InputError, match=rf"{named} file\).*images\.max_missing, {share:g}"):
        make(samples, tmp_path, max_missing=share)
    assert not (tmp_path / "images.arrow").exists()


def test_a_folder_that_is_not_there_is_known_before_any_work(tmp_path):
    samples = write_scenes(tmp_path)
    (tmp_path / "scene").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"6 of 6 images are missing .*options\.images"):
        make(samples, tmp_path, max_missing=0.5)


@pytest.mark.parametrize(
    ("center", "scale", "reason"),
    [
        ((10.0, 10.0), 0.0, "its box is 0 px wide"),
        ((10.0, 10.0), 1e5, "its box is 2e[+]07 px wide"),
        ((-400.0, 10.0), 1.0, "its box lies outside of the image"),
        ((10.0, 356.5), 1.0, "its box lies outside of the image"),
    ],
)
def test_a_box_that_cannot_be_is_a_missing_image(tmp_path, center, scale, reason):
    samples = write_scenes(tmp_path)
    samples.center[1], samples.scale[1] = torch.tensor(center), scale
    with pytest.raises(InputError, match=rf"1 of 6 images .*scene/001\.jpg \({reason}\)"):
        make(samples, tmp_path)


KINDS = {"WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}, "PPM": {}, "JPEG2000": {}, "TGA": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_all_kinds_are_read_whatever_their_names_say(tmp_path, kind):
    samples = write_scenes(tmp_path, ".png")
    whole = make(samples, tmp_path).read(torch.arange(N))
    for name in samples.image_name:
        with Image.open(tmp_path / name) as picture:
            picture.save(tmp_path / name, kind, **KINDS[kind])
    assert torch.equal(make(samples, tmp_path).read(torch.arange(N)), whole)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_pictures_of_16_bits_are_cut_to_8(tmp_path, kind):
    samples = write_scenes(tmp_path, ".png")
    for name in samples.image_name:
        with Image.open(tmp_path / name) as picture:
            picture.convert("L").save(tmp_path / name)
    grey = make(samples, tmp_path).read(torch.arange(N))
    for name in samples.image_name:
        with Image.open(tmp_path / name) as picture:
            deep = np.asarray(picture).astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / name, kind)
    assert torch.equal(make(samples, tmp_path).read(torch.arange(N)), grey)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((9, 9), 0.5, np.float32), "fractions"),
        (np.full((9, 9), 70_000, np.int32), "16 bits"),
    ],
)
def test_pixels_that_cannot_be_made_8_bits_are_refused(tmp_path, pixels, reason):
    samples = write_scenes(tmp_path, ".png")
    Image.fromarray(pixels).save(tmp_path / samples.image_name[4], "TIFF")
    with pytest.raises(InputError, match=rf"004\.png \(its pixels .*{reason}"):
        make(samples, tmp_path)


def test_a_picture_above_the_limit_is_named_with_the_setting(tmp_path):
    samples = write_scenes(tmp_path)
    Image.new("L", (1500, 1400)).save(tmp_path / samples.image_name[2])
    with pytest.raises(
        InputError, match=r"002\.jpg \(2 megapixels, above images\.max_megapixels, 1\)"
    ):
        make(samples, tmp_path, max_megapixels=1)
    make(samples, tmp_path, max_megapixels=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_header_turns_the_pictures_of_the_sets_that_ask_for_it(tmp_path, orientation):
    samples = write_scenes(tmp_path, ".png")
    whole = make(samples, tmp_path).read(torch.arange(N))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what Pillow has to do to store it so
    for name in samples.image_name:
        with Image.open(tmp_path / name) as picture:
            stored = picture.transpose(back[orientation]) if orientation > 1 else picture.copy()
        stored.save(tmp_path / name, exif=_orientation(orientation))
    assert torch.equal(make(samples, tmp_path, upright=["scenes"]).read(torch.arange(N)), whole)
    if orientation > 1:
        stored_crops = make(samples, tmp_path, upright=["others"], max_missing=1.0)
        assert not torch.equal(stored_crops.read(torch.arange(N)), whole)


@pytest.mark.parametrize("seen", ["clockwise", "not at all", "already turned"])
def test_pictures_on_their_side_are_turned_to_their_labels(tmp_path, seen):
    samples = write_scenes(tmp_path, ".png")
    for (
        name
    ) in samples.image_name:  # wider than high, with the labels of the picture that is higher
        with Image.open(tmp_path / name) as picture:
            tall = picture.crop((0, 0, people.WIDTH - 80, people.HEIGHT))
        assert tall.height > tall.width
        tall.save(tmp_path / name)
    whole = make(samples, tmp_path).read(torch.arange(N))
    if seen != "already turned":
        for name in samples.image_name:
            with Image.open(tmp_path / name) as picture:
                picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / name)
    pattern = "" if seen == "not at all" else "scene/*"
    turned = replace(samples, about=replace(samples.about, turned=pattern))
    crops = make(turned, tmp_path, max_missing=1.0).read(torch.arange(N))
    assert torch.equal(crops, whole) == (seen != "not at all")


def test_a_context_below_the_box_is_refused(tmp_path):
    kind = get_type_hints(Images, include_extras=True)["context"]
    with pytest.raises(InputError, match=r"images\.context: expected at least 1\.0 and"):
        params.parse(kind, 0.8, "images.context")
