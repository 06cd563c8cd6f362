"""Errors in mm: hand numbers, what they must not see, and the broadcast that is refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from pmnet.body.distance import mean_distance_mm
from pmnet.body.keypoints import J24, J24_HIPS, J24_PELVIS
from pmnet.body.parts import JOINTS
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.evaluation.metrics import (
    MEASURED,
    Protocol,
    describe,
    joint_errors,
    similarity_align,
    vertex_errors,
)

PELVIS, LEFT, RIGHT = (JOINTS.index(name) for name in ("pelvis", "left_hip", "right_hip"))

ALL = torch.ones(1, 24, dtype=torch.bool)


def points(b: int, p: int = 24, seed: int = 0) -> Tensor:
    return torch.randn(b, p, 3, generator=torch.Generator().manual_seed(seed))


def errors(pred: Tensor, true: Tensor, alignment: str) -> dict[str, float]:
    """Return the errors of one body whose vertices are its joints twice."""
    protocol = Protocol(alignment)
    found = vertex_errors(pred.repeat(1, 2, 1), pred, true.repeat(1, 2, 1), true, protocol)
    found |= joint_errors(pred, true, ALL, protocol)
    return {name: value.item() for name, value in found.items()}


def test_mean_distance_by_hand():
    # 3-4-5 in cm on one point, nothing on the other; then 1 m on both
    true = torch.zeros(2, 2, 3)
    pred = torch.tensor([[[0.03, 0.04, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]])
    assert mean_distance_mm(pred, true).tolist() == pytest.approx([25.0, 1000.0])


def test_a_prediction_for_one_point_is_not_spread_over_all():
    with pytest.raises(TypeCheckError):
        mean_distance_mm(points(2, 1), points(2, 5))
    with pytest.raises(TypeCheckError):
        mean_distance_mm(points(1, 5), points(2, 5))
    with pytest.raises(TypeCheckError):
        similarity_align(points(2, 1), points(2, 5))


@pytest.mark.parametrize(
    ("alignment", "mpjpe_mm"), [("none", 100.0), ("pelvis", 0.0), ("hips", 0.0)]
)
def test_a_shift_counts_only_where_nothing_is_aligned(alignment, mpjpe_mm):
    true = points(1)
    found = errors(true + torch.tensor([0.06, 0.0, 0.08]), true, alignment)
    assert found["mpjpe_mm"] == pytest.approx(mpjpe_mm, abs=1e-3)
    assert found["mpvpe_mm"] == pytest.approx(mpjpe_mm, abs=1e-3)
    assert found["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_each_alignment_brings_its_own_joints_together():
    true = torch.zeros(1, 24, 3)
    pred = true.clone()
    pred[0, LEFT, 0], pred[0, RIGHT, 0] = 0.24, 0.48  # the hips off, their middle by 360 mm
    assert errors(pred, true, "none")["mpjpe_mm"] == pytest.approx((240 + 480) / 24)
    assert errors(pred, true, "pelvis")["mpjpe_mm"] == pytest.approx((240 + 480) / 24)
    assert errors(pred, true, "hips")["mpjpe_mm"] == pytest.approx((22 * 360 + 2 * 120) / 24)
    pred = true.clone()
    pred[0, PELVIS, 1] = 0.024  # only the pelvis off: aligned on it, all else is
    assert errors(pred, true, "pelvis")["mpjpe_mm"] == pytest.approx(23.0)
    assert errors(pred, true, "hips")["mpjpe_mm"] == pytest.approx(1.0)


def test_vertices_move_with_the_origin_of_the_joints():
    joints, vertices = torch.zeros(1, 24, 3), torch.zeros(1, 5, 3)
    moved = joints + torch.tensor([0.0, 0.5, 0.0])
    found = vertex_errors(vertices, moved, vertices, joints, Protocol("pelvis"))
    assert found["mpvpe_mm"].tolist() == pytest.approx([500.0])
    found = joint_errors(moved, joints, ALL, Protocol("pelvis"))
    assert found["mpjpe_mm"].tolist() == pytest.approx([0.0])


def test_the_protocol_says_what_it_is():
    assert str(Protocol("hips")) == "alignment hips, 24 SMPL joints, neutral body"
    assert str(Protocol("hips", "j14")) == "alignment hips, J14 annotated joints, neutral body"
    kinds = ("j17", "j14", "smpl24", "j14")
    several = [Protocol("pelvis", kind) for kind in kinds]
    joints = "J14/J17 annotated joints"
    assert describe(several[:2]) == f"alignment pelvis, {joints}, neutral body"
    assert describe(several[:2], gendered=True).endswith(f"{joints}, true body of its gender")
    assert describe(several) == f"alignment pelvis, 24 SMPL or {joints}, neutral body"
    assert str(Protocol("none", "j14")).startswith("alignment none (annotated joints: pelvis), J14")


# --- annotated joints


def hand(alignment: str, measured: str = "j14", unknown: tuple[int, ...] = ()) -> float:
    """Return MPJPE where the truth is 0, the pelvis 100 mm off in x and the right hip 200 mm in y."""
    pred, true, known = torch.zeros(1, 24, 3), torch.zeros(1, 24, 3), ALL.clone()
    pred[0, J24_PELVIS, 0], pred[0, J24_HIPS[0], 1] = 0.1, 0.2
    known[0, list(unknown)] = False
    return joint_errors(pred, true, known, Protocol(alignment, measured))["mpjpe_mm"].item()


def test_annotated_joints_are_measured_by_hand():
    hip = math.hypot(100, 200)
    assert hand("pelvis") == pytest.approx((13 * 100 + hip) / 14)  # J14 has no pelvis
    assert hand("pelvis", "j17") == pytest.approx((15 * 100 + hip) / 17)  # and J17 has
    assert hand("hips") == pytest.approx(14 * 100 / 14)
    assert hand("none") == hand("pelvis")  # they are relative to the pelvis


def test_joints_that_are_not_known_do_not_count():
    nose, knee = J24.index("nose"), J24.index("left_knee")
    assert hand("pelvis", unknown=(nose,)) == hand("pelvis")  # not measured at all
    assert hand("pelvis", unknown=(J24_HIPS[0],)) == pytest.approx(100)
    assert hand("hips", unknown=(knee,)) == pytest.approx(13 * 100 / 13)
    assert hand("pelvis", unknown=(J24_PELVIS,)) == hand("hips")
    assert hand("hips", unknown=(J24_HIPS[1],)) == hand("pelvis", unknown=(J24_HIPS[1],))


def test_the_similarity_is_fitted_to_known_joints_only():
    true, known = points(2), ALL.repeat(2, 1)
    known[:, J24.index("left_knee")] = False
    pred = 2 * true + 1
    pred[~known] = 50.0
    found = joint_errors(pred, true, known, Protocol("pelvis", "j14"))["pa_mpjpe_mm"]
    assert found.tolist() == pytest.approx([0, 0], abs=1e-2)


def test_what_can_be_measured():
    protocol, known = Protocol("pelvis", "j14"), ALL.repeat(4, 1)
    known[0, J24_PELVIS] = False  # the hips stand in
    known[1, [J24_PELVIS, J24_HIPS[0]]] = False
    known[2, MEASURED["j14"]] = False
    assert protocol.measurable(known).tolist() == [True, False, False, True]


@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.floats(0.2, 5),
    st.floats(-3, 3),
    st.integers(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_similarity_undoes_any_turn_scale_and_shift(rotvec, scale, shift, seed):
    true = points(3, seed=seed)
    rotation = rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float32))
    pred = scale * true @ rotation.T + shift
    torch.testing.assert_close(similarity_align(pred, true), true, atol=2e-5, rtol=0)


def test_pa_mpjpe_does_not_depend_on_the_frame_of_the_prediction():
    pred, true = points(4, seed=1), points(4, seed=2)
    rotation = rotvec_to_rotmat(torch.tensor([0.4, -1.0, 2.0]))
    expected = mean_distance_mm(similarity_align(pred, true), true)
    moved = similarity_align(0.3 * pred @ rotation.T - 2, true)
    torch.testing.assert_close(mean_distance_mm(moved, true), expected, rtol=1e-4, atol=0)


def test_the_similarity_is_the_best_one():
    pred, true = points(1, seed=1).double(), points(1, seed=2).double()
    best = (similarity_align(pred, true) - true).square().sum()
    generator = torch.Generator().manual_seed(0)
    aligned = similarity_align(pred, true)
    centre = aligned.mean(1, keepdim=True)
    for size in (1e-3, 1e-2, 0.1):
        noise = torch.randn(50, 7, generator=generator, dtype=torch.float64) * size
        turn, grow, shift = rotvec_to_rotmat(noise[:, :3]), noise[:, 3].exp(), noise[:, 4:]
        moved = grow[:, None, None] * (aligned - centre) @ turn + centre + shift[:, None]
        assert ((moved - true).square().sum((1, 2)) > best).all()


def test_a_mirror_image_is_not_brought_back():
    true = points(2)
    pred = true * torch.tensor([-1.0, 1.0, 1.0])
    assert (mean_distance_mm(similarity_align(pred, true), true) > 300).all()


def test_points_on_a_plane_or_in_one_place_have_a_finite_error():
    flat = points(1) * torch.tensor([1.0, 1.0, 0.0])
    turned = flat @ rotvec_to_rotmat(torch.tensor([math.pi / 2, 0.0, 0.0])).T
    torch.testing.assert_close(similarity_align(turned, flat), flat, atol=1e-5, rtol=0)
    together = torch.ones(1, 24, 3)
    centre = flat.mean(1, keepdim=True).expand(1, 24, 3)
    torch.testing.assert_close(similarity_align(together, flat), centre)
