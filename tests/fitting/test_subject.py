"""A subject with markers: shape, places, mistaken labels, gaps."""

from functools import cache

import pytest
import torch
from fitted import LABELS, markers, one_shape, poses, prior, worn
from people import open_body

from pmnet.body import BodyParams
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.fitting.markers import read_table, vertices_of
from pmnet.fitting.mistaken import set_right
from pmnet.fitting.options import fit_options
from pmnet.fitting.points import rest_normals
from pmnet.fitting.subject import SubjectFit, SubjectFitter, pulled_by_neighbours


@cache
def fitter(**changed) -> SubjectFitter:
    body = open_body()
    normals = rest_normals(body)[vertices_of(body, [read_table()[label] for label in LABELS])]
    return SubjectFitter(
        body, markers(), prior(), poses(200, seed=9), fit_options(changed, "test"), normals
    )


def noisy(seen: torch.Tensor, by_mm: float = 5.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return seen + by_mm / 1000 * torch.randn(seen.shape, generator=generator)


def error_mm(fit: SubjectFit, truth: BodyParams) -> torch.Tensor:
    body = open_body()
    posed = body.vertices(fit.placed.params) + fit.placed.translation[:, None]
    return 1000 * (posed - body.vertices(truth)).norm(dim=2).mean(1)


def test_markers_with_noise_and_gaps_give_the_body_to_a_centimetre():
    truth = one_shape(poses(40, seed=2))
    seen = noisy(worn(truth))
    generator = torch.Generator().manual_seed(0)
    weights = (torch.rand(40, 48, generator=generator) > 0.1).float()
    fit = fitter()(torch.where(weights[..., None] > 0, seen, torch.nan), torch.ones(40, 48))
    assert fit.fitted.all() and not fit.dropped.any()
    assert torch.isnan(fit.residuals).eq(weights == 0).all()
    error = error_mm(fit, truth)
    assert error.quantile(0.95) < 10 and error.max() < 40


def test_swapped_labels_are_set_right_and_ghosts_dropped():
    truth = one_shape(poses(12, seed=2))
    seen = noisy(worn(truth), 3.0)
    left, right = LABELS.index("LKNE"), LABELS.index("RKNE")
    seen[3, [left, right]] = seen[3, [right, left]]
    seen[5, LABELS.index("C7")] += torch.tensor([0.0, 0.4, 0.3])
    fit = fitter()(seen, torch.ones(12, 48))
    assert fit.swapped.nonzero().tolist() == [[3, left], [3, right]]
    assert fit.dropped.nonzero().tolist() == [[5, LABELS.index("C7")]]
    assert torch.isnan(fit.residuals).nonzero().tolist() == [[5, LABELS.index("C7")]]
    assert error_mm(fit, truth).max() < 12


def test_a_point_takes_the_label_of_a_missing_one():
    posed = torch.arange(5.0)[None, :, None].expand(1, 5, 3).clone()
    targets, weights = posed.clone(), torch.ones(1, 5)
    targets[0, 1], weights[0, 4] = posed[0, 4] + 0.01, 0
    right = set_right(posed, targets, weights, 0.06)
    assert right.swapped.tolist() == [[False, False, False, False, True]]
    assert right.weights.tolist() == [[1, 0, 1, 1, 1]] and not right.dropped.any()
    assert torch.equal(right.targets[0, 4], targets[0, 1])


def test_places_of_markers_are_found():
    truth = one_shape(poses(40, seed=2))
    generator = torch.Generator().manual_seed(0)
    body = open_body()
    moved = markers().moved(0.01 * torch.randn(48, 3, generator=generator))
    seen = noisy(moved.posed(body, truth), 2.0)
    there = fitter()(seen, torch.ones(40, 48))
    found = fitter(place_mm=15.0)(seen, torch.ones(40, 48))
    assert found.residuals.mean() < 0.7 * there.residuals.mean()
    before = (markers().template - moved.template).norm()
    assert (found.points.template - moved.template).norm() < 0.9 * before


def test_frames_without_points_take_the_nearest_body():
    truth = one_shape(poses(6, seed=2))
    seen = worn(truth)
    seen[0] = torch.nan
    seen[4, 2:] = torch.nan
    fit = fitter()(seen, torch.ones(6, 48))
    assert fit.fitted.tolist() == [False, True, True, True, False, True]
    assert torch.equal(fit.placed.translation[0], fit.placed.translation[1])
    assert not fit.converged[0] and torch.isnan(fit.residuals[0]).all()


def test_no_points_are_refused():
    with pytest.raises(InputError, match="no frame shows 3 known points"):
        fitter()(torch.full((4, 48, 3), torch.nan), torch.ones(4, 48))


def test_a_sequence_is_smoother_and_no_less_right():
    still, generator = one_shape(poses(1, seed=2)), torch.Generator().manual_seed(0)
    turn = torch.zeros(30, 24, 3)
    turn[:, 16, 2] = torch.linspace(0, 1, 30)
    truth = BodyParams(
        still.rotmats.expand(30, 24, 3, 3) @ rotvec_to_rotmat(turn), still.betas.expand(30, 10)
    )
    seen = worn(truth)
    seen = seen + 0.005 * torch.randn(seen.shape, generator=generator)

    def jerk(fit: SubjectFit) -> torch.Tensor:
        return markers().posed(open_body(), fit.placed.params).diff(n=2, dim=0).norm(dim=2).mean()

    plain = fitter()(seen, torch.ones(30, 48), is_sequence=True)
    smooth = fitter(smooth=1.0)(seen, torch.ones(30, 48), is_sequence=True)
    assert jerk(smooth) < 0.5 * jerk(plain)
    assert error_mm(smooth, truth).mean() < error_mm(plain, truth).mean()


def test_neighbours_leave_straight_motion_alone():
    straight = torch.linspace(0, 1, 9)[:, None, None].expand(9, 2, 3)
    assert torch.allclose(pulled_by_neighbours(straight), straight, atol=1e-6)
