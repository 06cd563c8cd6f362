"""Augmentation: nothing at zero, labels that stay on the people they describe, SPIN's distributions."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_world import MACHINE
from torch import Tensor

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.camera import View, fit_camera, project
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.images.augmentation import (
    Augmentation,
    Labels,
    Moves,
    augment,
    changes_bodies,
    draw,
    moves_of,
)
from pmnet.images.file import Pixels
from pmnet.images.making import make_images
from pmnet.images.options import Images
from pmnet.images.render import silhouettes

SIZE_PX = 65
NOTHING = Augmentation(
    flip=0.0, rotation_deg=0.0, rotation_share=0.0, scale=0.0, shift=0.0, gain=0.0
)
TURN = {"rotation_deg": 30.0, "rotation_share": 1.0}
SPIN = Augmentation(
    flip=0.5, rotation_deg=30.0, rotation_share=0.4, scale=0.25, shift=0.0, gain=0.4
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels_at(points: Tensor) -> Labels:
    """Return labels of which only the 2D keypoints matter: the given ones come first."""
    b, j = points.shape[:2]
    keypoints = torch.zeros(b, 24, 3)
    keypoints[:, :j, :2] = points
    rotmats = torch.eye(3).repeat(b, 24, 1, 1)
    return Labels(BodyParams(rotmats, torch.zeros(b, 10)), keypoints, torch.zeros(b, 24, 4))


def moved(images: Tensor, points: Tensor, options: Augmentation, seed: int = 0):
    """Return augmented images of unchanged size and the points in them."""
    images, labels = augment(
        images,
        labels_at(points),
        "smpl24",
        images.shape[-1],
        options,
        draw(len(images), seeded(seed)),
    )
    return images, labels.keypoints_2d[:, : points.shape[1], :2]


def dots(keypoints: Tensor, side: int = SIZE_PX, context: float = 1.0) -> Tensor:
    """Return images with a soft bright dot at the one keypoint (crop) of each."""
    axis = ((torch.arange(side) + 0.5) / side * 2 - 1) * context
    x, y = (keypoints[:, 0, c, None, None] for c in (0, 1))
    squared = (axis[None, None] - x) ** 2 + (axis[None, :, None] - y) ** 2
    return torch.exp(-squared / (2 * 0.05**2))[:, None].expand(-1, 3, -1, -1)


def found(images: Tensor) -> Tensor:
    """Return where (crop) the light of each image is."""
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 - 1
    light = images.mean(1)
    total = light.sum((1, 2))
    x, y = (light.sum(1) * axis).sum(1) / total, (light.sum(2) * axis).sum(1) / total
    return torch.stack([x, y], 1)


# --- images and points


def test_zeros_change_nothing():
    images = torch.rand(4, 3, 16, 16, generator=seeded())
    points = torch.randn(4, 24, 2, generator=seeded())
    after = moved(images, points, NOTHING)
    assert torch.equal(after[0], images) and torch.equal(after[1], points)


def test_without_moves_the_centre_of_the_context_is_taken_as_it_is():
    images = torch.rand(2, 3, 20, 20, generator=seeded())
    labels = labels_at(torch.rand(2, 24, 2))
    after, same = augment(images, labels, "j24", 16, NOTHING, draw(2, seeded()))
    assert torch.equal(after, images[..., 2:18, 2:18]) and same is labels


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.3},
        {"shift": 0.3},
        {"flip": 0.5},
        TURN,
        {"scale": 0.2, "shift": 0.2, "flip": 0.5, **TURN},
    ],
    ids=str,
)
def test_points_follow_the_image(change):
    points = torch.rand(40, 1, 2, generator=seeded(1)) - 0.5
    images, after = moved(dots(points), points, replace(NOTHING, **change), 2)
    inside = after[:, 0].abs().amax(1) < 0.85
    assert inside.float().mean() > 0.9
    torch.testing.assert_close(found(images)[inside], after[inside, 0], atol=0.01, rtol=0)
    # both ways, and not all alike
    difference = (after - points)[:, 0, 0]
    assert difference.min() < -0.05 and difference.max() > 0.05


def test_points_follow_out_of_the_context():
    points = torch.tensor([[[1.1, -0.2]]]).repeat(40, 1, 1)
    images = dots(points, side=91, context=91 / SIZE_PX)
    options = replace(NOTHING, scale=0.25, flip=0.5, **TURN)
    after, labels = augment(
        images, labels_at(points), "smpl24", SIZE_PX, options, draw(len(images), seeded(2))
    )
    points = labels.keypoints_2d[:, 0, :2]
    inside = points.abs().amax(1) < 0.85
    assert 3 < inside.sum() < 40
    torch.testing.assert_close(found(after)[inside], points[inside], atol=0.01, rtol=0)


def test_a_move_by_hand():
    points = torch.tensor([[[0.5, 0.0], [0.0, -0.5]]])
    right_angle = torch.tensor([math.pi / 2])
    still = {"mirror": torch.tensor([False]), "scale": torch.ones(1), "shift": torch.zeros(1, 2)}

    def after(**change: Tensor) -> list[list[float]]:
        moves = Moves(**{**still, "angle": torch.zeros(1), **change})
        return moves.labels(labels_at(points), "smpl24").keypoints_2d[0, :2, :2].tolist()

    def near(*rows: list[float]):
        return [pytest.approx(row, abs=1e-6) for row in rows]

    assert after() == near([0.5, 0.0], [0.0, -0.5])
    assert after(scale=torch.tensor([1.2])) == near([0.6, 0.0], [0.0, -0.6])
    assert after(shift=torch.tensor([[0.1, 0.2]])) == near([0.6, 0.2], [0.1, -0.3])
    # y is down: right goes down, up goes right
    assert after(angle=right_angle) == near([0.0, 0.5], [0.5, 0.0])
    # 1 and 2, the hips, change places: the first keypoint is the pelvis
    assert after(mirror=torch.tensor([True])) == near([-0.5, 0.0], [0.0, 0.0])
    turned = after(mirror=torch.tensor([True]), angle=right_angle, shift=torch.tensor([[0.1, 0.0]]))
    assert turned == near([0.1, -0.5], [0.1, 0.0])


def test_gain_is_one_number_a_channel_of_an_image():
    images = torch.rand(50, 3, 8, 8, generator=seeded()) * 0.5 + 0.25
    after, points = moved(images, torch.zeros(50, 1, 2), replace(NOTHING, gain=0.3), 1)
    gain = after / images
    torch.testing.assert_close(gain, gain[:, :, :1, :1].expand_as(gain))
    assert 0.7 <= gain.min() < 0.75 and 1.25 < gain.max() <= 1.3001
    assert len(gain[:, :, 0, 0].round(decimals=4).unique()) > 100
    assert (points == 0).all()


def test_the_edge_is_continued_where_the_image_ends():
    options = replace(NOTHING, scale=0.3, shift=0.3, **TURN)
    after, _ = moved(torch.full((8, 3, 9, 9), 0.5), torch.zeros(8, 1, 2), options)
    torch.testing.assert_close(after, torch.full_like(after, 0.5))


def test_changes_come_from_the_generator_alone():
    images = torch.rand(3, 3, 16, 16, generator=seeded())
    points = torch.zeros(3, 1, 2)
    options = replace(SPIN, rotation_share=1.0, shift=0.2)
    first, again, other = (moved(images, points, options, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


# --- distributions


def test_moves_are_distributed_as_in_spin():
    n = 20000
    moves = moves_of(draw(n, seeded(1)), replace(SPIN, shift=0.1))
    assert moves.mirror.float().mean().item() == pytest.approx(0.5, abs=0.01)
    turned = moves.angle != 0
    assert turned.float().mean().item() == pytest.approx(0.4, abs=0.01)
    degrees = moves.angle[turned].rad2deg()
    assert degrees.abs().max().item() == pytest.approx(60, abs=1e-3)
    # a normal cut off at two standard deviations
    assert degrees.std().item() == pytest.approx(30 * 0.96, rel=0.03)
    width = 1 / moves.scale
    assert width.min().item() == pytest.approx(0.75) and width.max().item() == pytest.approx(1.25)
    assert ((width - 1).abs() > 0.2499).float().mean().item() == pytest.approx(0.317, abs=0.015)
    assert ((width - 1).abs() < 0.125).float().mean().item() == pytest.approx(0.383, abs=0.015)
    assert moves.shift.abs().max() <= 0.1 and moves.shift.abs().max() > 0.099
    together = [moves.mirror.float(), moves.angle, width, *moves.shift.unbind(1)]
    assert (torch.corrcoef(torch.stack(together)) - torch.eye(5)).abs().max() < 0.03


def test_bodies_change_where_they_are_mirrored_or_turned():
    assert changes_bodies(SPIN) and changes_bodies(replace(NOTHING, flip=0.1))
    assert changes_bodies(replace(NOTHING, **TURN))
    assert not changes_bodies(replace(NOTHING, scale=0.2, shift=0.2, gain=0.2, rotation_deg=30.0))
    assert not changes_bodies(replace(NOTHING, rotation_share=0.4))


# --- augment, render, compare

VIEW = View(60.0, 0.5, 8.0, 3.0, margin=0.7, margin_spread=0.05, shift=0.05)
FAMILIES = dict.fromkeys(("stand", "walk", "wave", "kick", "handstand"), 1.0)
PEOPLE, CROP_PX = 10, 160


@pytest.fixture(scope="module")
def stored(body, tmp_path_factory) -> tuple[Samples, Tensor]:
    """Return people who differ left from right, and their images with context: white on black.

    They are the silhouettes of what the images stage stores, so that edges are where colours end.
    """
    folder = tmp_path_factory.mktemp("stored")
    options = synthetic.Options(PEOPLE, FAMILIES, 6.0, 0.8, VIEW, seed=3)
    samples = synthetic.read("people", Path(), options, body)
    samples.save(folder / "samples.arrow")
    images = Images(
        size_px=CROP_PX,
        context=1.5,
        max_missing=0.0,
        upright=None,
        max_megapixels=179,
        encoding="raw",
        jpeg_quality=90,
        supersampling=1,
        variety=0.0,
        skin_share=0.0,
        seed=0,
    )
    make_images(folder / "samples.arrow", OPEN_BODY, folder / "images.arrow", images, MACHINE)
    pixels = Pixels(folder / "images.arrow")
    assert pixels.stored_px == 240
    images = pixels.read_stored(torch.arange(PEOPLE)).float() / 255
    cameras = samples.camera / pixels.context
    white = silhouettes(body, samples.body_params(), cameras, pixels.stored_px)
    coloured = (images - images[:, :, :1, :1]).abs().amax(1) > 0.07
    assert ((white & coloured).sum((1, 2)) / (white | coloured).sum((1, 2))).min() > 0.9
    return samples, white[:, None].expand(-1, 3, -1, -1).float()


def joints_of(body: BodyModel, params: BodyParams, joints: str) -> Tensor:
    return body.joints(params) if joints == "smpl24" else body.keypoints(body.vertices(params))


def overlap(body: BodyModel, images: Tensor, labels: Labels, joints: str) -> Tensor:
    """Return the intersection over union of people in white and the bodies of labels."""
    found = joints_of(body, labels.params, joints)
    points, confidence = labels.keypoints_2d.split([2, 1], 2)
    cameras = fit_camera(found, points, confidence[..., 0])
    mesh = silhouettes(body, labels.params, cameras, CROP_PX)
    seen = images[:, 0] > 0.5
    return (mesh & seen).sum((1, 2)) / (mesh | seen).sum((1, 2))


@pytest.mark.parametrize("joints", ["smpl24", "j24"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"flip": 1.0},
        TURN,
        {"scale": 0.25},
        {"shift": 0.2},
        {"flip": 0.5, "rotation_deg": 30.0, "rotation_share": 0.7, "scale": 0.25, "shift": 0.1},
    ],
    ids=str,
)
def test_labels_stay_on_the_people_of_rendered_images(body, stored, joints, change):
    samples, images = stored
    params = samples.body_params()
    bones = joints_of(body, params, joints)
    points = project(bones, samples.camera)
    sure = torch.ones(PEOPLE, 24, 1)
    before = Labels(
        params, torch.cat([points, sure], 2), torch.cat([bones - bones[:, :1], sure], 2)
    )
    options = replace(NOTHING, **change)
    after, labels = augment(images, before, joints, CROP_PX, options, draw(len(images), seeded(1)))
    assert overlap(body, after, labels, joints).min() >= 0.9
    if change:
        assert overlap(body, after, before, joints).mean() < 0.8
    # the 3D labels belong to the body too, but for its small asymmetry
    found = joints_of(body, labels.params, joints)
    found = found - found[:, :1]
    given = labels.keypoints_3d[..., :3] - labels.keypoints_3d[:, :1, :3]
    assert (found - given).norm(dim=2).max() < 0.01
    fitted = fit_camera(found, labels.keypoints_2d[..., :2], sure[..., 0])
    misses = project(found, fitted) - labels.keypoints_2d[..., :2]
    assert misses.norm(dim=2).max() < 0.02
    torch.testing.assert_close(torch.linalg.det(labels.params.rotmats), torch.ones(PEOPLE, 24))


@pytest.mark.parametrize("joints", ["smpl24", "j24"])
def test_the_mirror_of_a_mirror_is_what_it_was(joints):
    labels = Labels(
        BodyParams.from_rotvecs(
            torch.randn(3, 24, 3, generator=seeded()), torch.randn(3, 10, generator=seeded())
        ),
        torch.randn(3, 24, 3, generator=seeded(1)),
        torch.randn(3, 24, 4, generator=seeded(2)),
    )
    still = torch.ones(3)
    mirror = Moves(torch.ones(3, dtype=torch.bool), still * 0, still, torch.zeros(3, 2))
    once = mirror.labels(labels, joints)
    twice = mirror.labels(once, joints)
    torch.testing.assert_close(twice.params.rotmats, labels.params.rotmats)
    assert torch.equal(once.params.betas, labels.params.betas)
    for name in ("keypoints_2d", "keypoints_3d"):
        torch.testing.assert_close(getattr(twice, name), getattr(labels, name))
        assert not torch.equal(getattr(once, name)[..., -1], getattr(labels, name)[..., -1])
