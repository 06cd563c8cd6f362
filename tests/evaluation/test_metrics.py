"""Errors in mm: hand numbers, what they must not see, and the broadcast that is refused."""

import math

import field_rules
import pytest
import torch
from bodies import random_bodies
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from regressors import gendered_arrays
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.distance import mean_distance_mm
from pmnet.body.keypoints import J14, J24, J24_HIPS, J24_PELVIS
from pmnet.body.parts import JOINTS
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.evaluation.metrics import (
    AnnotatedPoints,
    BodyPoints,
    acceleration_error,
    mpjpe_mm,
    pa_mpjpe_mm,
    similarity_align,
)
from pmnet.evaluation.prediction import EvaluationTruth, errors_of_points
from pmnet.evaluation.protocols import Protocol

PELVIS, LEFT, RIGHT = (JOINTS.index(name) for name in ("pelvis", "left_hip", "right_hip"))

ALL = torch.ones(1, 24, dtype=torch.bool)


def points(b: int, p: int = 24, seed: int = 0) -> Tensor:
    return torch.randn(b, p, 3, generator=torch.Generator().manual_seed(seed))


def protocol(alignment: str, joints: str = "smpl24", truth: str = "body") -> Protocol:
    """Return a protocol that aligns joints and vertices alike."""
    return Protocol("own", joints, alignment, alignment, truth, "neutral", "neutral")


def errors(pred: Tensor, true: Tensor, alignment: str, body: BodyModel) -> dict[str, float]:
    """Return the errors of one body whose vertices are its joints, over and over."""
    posed = [BodyPoints(body, x.repeat(1, 288, 1)[:, :6890], x) for x in (pred, true)]
    how = protocol(alignment)
    truth = EvaluationTruth(None, posed[1], true, ALL, posed[1].origin(alignment), [""])
    found = errors_of_points(posed[0], truth, how, {})
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
    ("alignment", "mpjpe_mm"), [("none", 100.0), ("pelvis", 0.0), ("smpl_hips", 0.0)]
)
def test_a_shift_counts_only_where_nothing_is_aligned(alignment, mpjpe_mm, body):
    true = points(1)
    found = errors(true + torch.tensor([0.06, 0.0, 0.08]), true, alignment, body)
    assert found["mpjpe_mm"] == pytest.approx(mpjpe_mm, abs=1e-3)
    assert found["mpvpe_mm"] == pytest.approx(mpjpe_mm, abs=1e-3)
    assert found["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_each_alignment_brings_its_own_joints_together(body):
    true = torch.zeros(1, 24, 3)
    pred = true.clone()
    pred[0, LEFT, 0], pred[0, RIGHT, 0] = 0.24, 0.48  # the hips off, their middle by 360 mm
    for alignment in ("none", "pelvis"):
        assert errors(pred, true, alignment, body)["mpjpe_mm"] == pytest.approx(720 / 24)
    found = errors(pred, true, "smpl_hips", body)["mpjpe_mm"]
    assert found == pytest.approx((22 * 360 + 2 * 120) / 24)
    pred = true.clone()
    pred[0, PELVIS, 1] = 0.024  # only the pelvis off: aligned on it, all else is
    assert errors(pred, true, "pelvis", body)["mpjpe_mm"] == pytest.approx(23.0)
    assert errors(pred, true, "smpl_hips", body)["mpjpe_mm"] == pytest.approx(1.0)


def test_points_of_a_body_are_moved_to_zero_by_their_own_rule(tmp_path):
    """Each alignment takes its own point of the body, and J14 and J17 their own rows."""
    body = BodyModel(gendered_arrays(tmp_path))
    params = random_bodies(2)
    points = BodyPoints(body, body.vertices(params), body.joints(params))
    h36m, j24 = body.h36m_joints(points.vertices), body.keypoints(points.vertices)
    skeleton = points.skeleton
    expected = {
        "none": torch.zeros(2, 3),
        "pelvis": skeleton[:, 0],
        "smpl_hips": (skeleton[:, 1] + skeleton[:, 2]) / 2,
        "h36m_pelvis": h36m[:, 0],
        "lsp_hips": (h36m[:, 1] + h36m[:, 4]) / 2,
        "mpii_pelvis": j24[:, 14],
    }
    for alignment, origin in expected.items():
        torch.testing.assert_close(points.origin(alignment)[:, 0], origin)
    assert torch.equal(points.measured("h36m_j17"), h36m[:, field_rules.H36M_TO_J17])
    assert torch.equal(points.measured("h36m_j14"), h36m[:, field_rules.H36M_TO_J17[:14]])
    assert torch.equal(points.measured("j24_j14"), j24[:, field_rules.J24_TO_J17[:14]])
    assert torch.equal(points.measured("smpl24"), skeleton)


# --- annotated joints


def hand(alignment: str, joints: str = "h36m_j14", unknown: tuple[int, ...] = ()) -> float:
    """Return MPJPE where the truth is 0, the pelvis 100 mm off in x and the right hip 200 mm in y."""
    pred, true, known = torch.zeros(1, 24, 3), torch.zeros(1, 24, 3), ALL.clone()
    pred[0, J24_PELVIS, 0], pred[0, J24_HIPS[0], 1] = 0.1, 0.2
    known[0, list(unknown)] = False
    pair = [AnnotatedPoints(x, known) for x in (pred, true)]
    a, b = (x.measured(joints)[0] - x.origin(alignment) for x in pair)
    return mpjpe_mm(a, b, pair[1].measured(joints)[1]).item()


def test_annotated_joints_are_measured_by_hand():
    hip = math.hypot(100, 200)
    assert hand("h36m_pelvis") == pytest.approx((13 * 100 + hip) / 14)  # J14 has no pelvis
    assert hand("mpii_pelvis", "j24_j17") == pytest.approx((15 * 100 + hip) / 17)  # and J17 has
    assert hand("lsp_hips") == pytest.approx(14 * 100 / 14)


def test_joints_that_are_not_known_do_not_count():
    nose, knee = J24.index("nose"), J24.index("left_knee")
    assert hand("h36m_pelvis", unknown=(nose,)) == hand("h36m_pelvis")  # not measured at all
    assert hand("h36m_pelvis", unknown=(J24_HIPS[0],)) == pytest.approx(100)
    assert hand("lsp_hips", unknown=(knee,)) == pytest.approx(13 * 100 / 13)


def test_the_similarity_is_fitted_to_known_joints_only():
    true, known = points(2)[:, :14], ALL.repeat(2, 1)[:, :14].clone()
    known[:, 4] = False
    pred = 2 * true + 1
    pred[~known] = 50.0
    assert pa_mpjpe_mm(pred, true, known).tolist() == pytest.approx([0, 0], abs=1e-2)


def test_a_sample_without_its_origin_is_not_measured_by_another_one():
    known = ALL.repeat(4, 1).clone()
    known[0, J24_PELVIS] = False
    known[1, J24_HIPS[0]] = False
    known[2, [J24.index(name) for name in J14]] = False
    annotated = AnnotatedPoints(torch.zeros(4, 24, 3), known)
    by_pelvis = annotated.measurable("h36m_j14", "h36m_pelvis")
    assert by_pelvis.tolist() == [False, True, False, True]
    assert annotated.measurable("h36m_j14", "lsp_hips").tolist() == [True, False, False, True]


def test_acceleration_by_hand():
    """A joint that stands still, predicted with a jump of 3 mm at one frame: 3, -6, 3 mm per frame^2."""
    true = torch.zeros(6, 2, 3)
    pred = true.clone()
    pred[3, :, 0] = 0.003
    assert acceleration_error(pred, true).tolist() == pytest.approx([0, 3, 6, 3], abs=1e-4)
    assert acceleration_error(pred, true, 30.0)[1].item() == pytest.approx(2700, rel=1e-4)
    steady = true + torch.linspace(0, 1, 6)[:, None, None]  # a constant velocity is no error
    assert acceleration_error(steady, true).abs().max() < 1e-3


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
