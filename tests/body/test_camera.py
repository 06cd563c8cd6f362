"""The camera: projection by hand, crop and pixels as inverses, people upright before it."""

import math

import pytest
import torch
from bodies import facing, random_bodies
from hypothesis import given, settings
from hypothesis import strategies as st

from pmnet.body.camera import (
    View,
    crop_to_px,
    fit_camera,
    frame_bodies,
    project,
    px_to_crop,
    view_bodies,
)
from pmnet.body.parts import JOINTS
from pmnet.body.rotations import axis_rotation, rotmat_to_rotvec

STILL = View(
    yaw_spread_deg=0.0,
    yaw_uniform=0.0,
    pitch_spread_deg=0.0,
    roll_spread_deg=0.0,
    margin=0.9,
    margin_spread=0.0,
    shift=0.0,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_projection_by_hand():
    points = torch.tensor(
        [[[1.0, 2.0, 5.0], [0.0, -1.0, -7.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]
    )
    camera = torch.tensor([[0.5, 0.1, -0.2], [2.0, 0.0, 1.0]])
    expected = [[[0.6, 0.8], [0.1, -0.7]], [[2.0, 3.0], [0.0, 1.0]]]
    torch.testing.assert_close(project(points, camera), torch.tensor(expected))


def test_crop_to_pixels_by_hand():
    # a box of scale 1.5 is 300 px wide
    crop = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 0.5]])
    px = crop_to_px(crop, torch.tensor([400.0, 300.0]), torch.tensor(1.5))
    assert px.tolist() == [[250.0, 150.0], [400.0, 300.0], [550.0, 375.0]]


@given(st.floats(0.1, 10), st.floats(-2000, 2000), st.floats(-2000, 2000))
@settings(max_examples=30, deadline=None)
def test_pixels_and_crop_are_inverse(scale, x, y):
    crop = torch.randn(1, 7, 2, generator=seeded(), dtype=torch.float64)
    box = torch.tensor([[x, y]], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64)
    torch.testing.assert_close(px_to_crop(crop_to_px(crop, *box), *box), crop)


def test_an_upright_body_facing_the_camera_has_turned_half_about_x(body):
    orient = view_bodies(torch.eye(3)[None], STILL, seeded())
    torch.testing.assert_close(
        orient[0], torch.diag(torch.tensor([1.0, -1, -1])), atol=1e-6, rtol=0
    )
    assert rotmat_to_rotvec(orient)[0].abs().tolist() == pytest.approx([math.pi, 0, 0], abs=1e-5)
    joints = body.joints(facing())[0]
    place = {name: joints[JOINTS.index(name)] for name in JOINTS}
    assert place["head"][1] < place["pelvis"][1] < place["left_foot"][1]  # y down
    assert place["left_wrist"][0] > 0.3 > -0.3 > place["right_wrist"][0]  # its left is our right
    assert place["left_foot"][2] < place["left_ankle"][2]  # toes towards the camera, z away


@pytest.mark.parametrize("heading_deg", [0.0, 90.0, 180.0, -135.0])
def test_the_heading_of_a_body_is_removed(heading_deg):
    lean = axis_rotation(0, torch.tensor([0.3]))
    turned = axis_rotation(1, torch.tensor([math.radians(heading_deg)])) @ lean
    seen = [view_bodies(orient, STILL, seeded()) for orient in (turned, lean)]
    torch.testing.assert_close(*seen, atol=1e-6, rtol=0)


def test_yaw_pitch_and_roll_have_their_spreads():
    n = 4000
    upright = torch.eye(3).repeat(n, 1, 1)
    spreads = dict(yaw_spread_deg=20.0, pitch_spread_deg=8.0, roll_spread_deg=3.0)
    view = View(**{**vars(STILL), **spreads})
    seen = view_bodies(upright, view, seeded(3))
    torch.testing.assert_close(torch.linalg.det(seen), torch.ones(n))
    # undo the flip: roll about z, pitch about x, yaw about y of the camera
    camera = axis_rotation(0, torch.full((1,), -math.pi)) @ seen
    roll = torch.atan2(-camera[:, 0, 1], camera[:, 1, 1])
    pitch = torch.asin(camera[:, 2, 1])
    yaw = torch.atan2(-camera[:, 2, 0], camera[:, 2, 2])
    for angles, wanted in zip((yaw, pitch, roll), spreads.values(), strict=True):
        assert angles.rad2deg().std().item() == pytest.approx(wanted, rel=0.05)
        assert abs(angles.rad2deg().mean().item()) < wanted / 10


def test_a_share_is_seen_from_all_around_and_pitch_is_bounded():
    n = 2000
    view = View(**{**vars(STILL), "yaw_uniform": 0.25, "pitch_spread_deg": 40.0})
    seen = view_bodies(torch.eye(3).repeat(n, 1, 1), view, seeded())
    yaw = torch.atan2(seen[:, 2, 0], -seen[:, 2, 2]).abs()
    assert (yaw > 1e-4).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (yaw > math.pi / 2).float().mean().item() == pytest.approx(0.125, abs=0.03)
    assert seen[:, 2, 1].abs().max().item() == pytest.approx(0.5, abs=1e-5)  # sin of 30 degrees


def test_views_come_from_the_generator_alone():
    orient = random_bodies(20).rotmats[:, 0]
    view = View(**{**vars(STILL), "yaw_spread_deg": 30.0, "roll_spread_deg": 5.0})
    again = [view_bodies(orient, view, seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(again[0], again[1])
    assert not torch.isclose(again[0], again[2]).all((1, 2)).any()


def test_a_framed_body_fills_its_share_of_the_crop(body):
    vertices = body.vertices(random_bodies(8))
    cameras = frame_bodies(vertices, STILL, seeded())
    seen = project(vertices, cameras)
    low, high = seen.amin(1), seen.amax(1)
    torch.testing.assert_close((high - low).amax(1), torch.full((8,), 1.8))
    torch.testing.assert_close((low + high) / 2, torch.zeros(8, 2), atol=1e-5, rtol=0)


def test_a_framed_body_stays_in_its_crop_when_it_may_be_shifted(body):
    view = View(**{**vars(STILL), "margin": 0.88, "margin_spread": 0.04, "shift": 0.08})
    vertices = body.vertices(random_bodies(30, spread=0.6))
    cameras = frame_bodies(vertices, view, seeded())
    seen = project(vertices, cameras)
    assert seen.abs().max() <= 1
    extent = (seen.amax(1) - seen.amin(1)).amax(1) / 2
    assert 0.84 <= extent.min() < 0.86 and 0.90 < extent.max() <= 0.92
    centre = (seen.amax(1) + seen.amin(1)) / 2
    assert 0.06 < centre.abs().max() <= 0.0801


def test_a_fitted_camera_is_the_one_that_projected():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(5, 24, 3, generator=generator)
    camera = torch.rand(5, 3, generator=generator) + 0.2
    weights = torch.rand(5, 24, generator=generator)
    weights[:, 3:9] = 0
    seen = project(points, camera)
    seen[:, 3:9] = torch.nan  # what does not count may be anything
    torch.testing.assert_close(fit_camera(points, seen, weights), camera)


def test_a_camera_of_less_than_two_points_is_unknown():
    points = torch.randn(1, 24, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 24)
    weights[0, 4] = 1
    assert fit_camera(points, points[..., :2], weights).isnan().all()
