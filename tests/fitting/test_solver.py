"""The solver finds known bodies again, from points in space and from pixels."""

import itertools
from dataclasses import replace

import pytest
import torch
from fitted import four_cameras, markers, one_shape, poses, prior, worn
from people import open_body

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.fitting.observations import Pixels, Positions
from pmnet.fitting.options import FitOptions, fit_options
from pmnet.fitting.points import BodyPoints, joint_points
from pmnet.fitting.rotating import turned
from pmnet.fitting.solver import Placed, Solver
from pmnet.fitting.start import Starter


def options(**changed) -> FitOptions:
    return fit_options(changed, "test")


def near(params: BodyParams, by_rad: float) -> Placed:
    """Return bodies that are turned a little in every joint and stand a little off."""
    generator = torch.Generator().manual_seed(0)
    turns = by_rad * torch.randn(len(params), 24, 3, generator=generator)
    rotmats = turned(params.rotmats, turns.to(params.rotmats))
    return Placed(BodyParams(rotmats, 0 * params.betas), 0.05 + 0 * params.betas[:, :3])


def vertex_error_mm(placed: Placed, truth: BodyParams) -> torch.Tensor:
    body = open_body() if truth.betas.dtype == torch.float32 else open_body().double_precision()
    off = body.vertices(placed.params) + placed.translation[:, None] - body.vertices(truth)
    return 1000 * off.norm(dim=2).mean(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_points_give_the_body_back(dtype):
    truth = poses(6).to(dtype)
    body = open_body() if dtype == torch.float32 else open_body().double_precision()
    points = markers().to(dtype)
    seen = points.posed(body, truth)
    exact = options(noise_mm=0.1, tolerance=0.001, iterations=40)
    solver = Solver(body, points, prior().to(dtype), exact)
    fit = solver.solve(near(truth, 0.1), Positions(seen, torch.ones(6, 48).to(dtype), 1e8, 0.0))
    points_mm = 1000 * (
        points.posed(body, fit.placed.params) + fit.placed.translation[:, None] - seen
    ).norm(dim=2)
    # pose correctives are not in the derivative, so the last millimetre takes many steps
    assert points_mm.max() < 2
    error = vertex_error_mm(fit.placed, truth)
    assert error.min() < 0.05 and error.median() < 2 and error.max() < 10
    assert fit.converged.sum() >= 3


def test_a_step_never_makes_a_fit_worse():
    truth = poses(16)
    seen = Positions(worn(truth), torch.ones(16, 48), 4e4, 0.15)
    costs = [
        Solver(open_body(), markers(), prior(), options(iterations=n, tolerance=0.001))
        .solve(near(truth, 0.3), seen)
        .cost
        for n in (1, 2, 4, 8)
    ]
    for before, after in itertools.pairwise(costs):
        assert (after <= before).all()


def test_frames_of_a_subject_share_their_betas():
    truth = one_shape(poses(12))
    seen = Positions(worn(truth), torch.ones(12, 48), 4e4, 0.15)
    solver = Solver(open_body(), markers(), prior(), options())
    subjects = torch.tensor([0] * 6 + [1] * 6)
    shared = solver.solve(near(truth, 0.1), seen, subjects).placed.params.betas
    assert torch.equal(shared[:6], shared[:1].expand(6, 10))
    assert torch.equal(shared[6:], shared[6:7].expand(6, 10))
    alone = solver.solve(near(truth, 0.1), seen).placed.params.betas
    assert (shared - truth.betas).abs().mean() < (alone - truth.betas).abs().mean()
    # subjects of one frame each, in any order, are frames alone
    mixed = solver.solve(near(truth, 0.1), seen, torch.arange(12).flip(0)).placed.params.betas
    assert torch.allclose(mixed, alone, atol=1e-3)
    fixed = solver.solve(near(truth, 0.1), seen, fit_shape=False).placed.params.betas
    assert torch.equal(fixed, torch.zeros(12, 10))


def test_the_closed_start_is_near_whatever_is_missing_or_turned():
    truth = poses(40, seed=3)
    seen = worn(truth) + torch.tensor([3.0, -2.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    weights = (torch.rand(40, 48, generator=generator) > 0.2).float()
    starter = Starter(open_body(), markers(), prior(), poses(200, seed=9))
    start = starter(torch.where(weights[..., None] > 0, seen, torch.nan), weights)
    moved = Placed(start.params, start.translation - torch.tensor([3.0, -2.0, 1.0]))
    assert vertex_error_mm(moved, truth).median() < 60
    seen[0, 5] += 2.0  # a ghost
    again = starter(seen[:1], torch.ones(1, 48))
    moved = Placed(again.params, again.translation - torch.tensor([3.0, -2.0, 1.0]))
    assert vertex_error_mm(moved, truth[slice(0, 1)]).max() < 100


def body_and_joints() -> tuple[BodyModel, BodyPoints]:
    return open_body(), joint_points(open_body())


def test_joints_in_four_cameras_give_joints_within_centimetres():
    truth, (body, points) = poses(10, seed=5), body_and_joints()
    joints = points.posed(body, truth)
    empty = Pixels(
        torch.zeros(10, 4, 24, 2),
        torch.ones(10, 4, 24),
        four_cameras().projections.float(),
        1 / 9,
        0.0,
    )
    generator = torch.Generator().manual_seed(0)
    pixels = empty.project(joints)[0]
    seen = replace(empty, targets=pixels + 3 * torch.randn(pixels.shape, generator=generator))
    seen.weights[0, 2] = 0  # a camera that sees nobody
    solver = Solver(body, points, prior(), options())
    fit = solver.solve(near(truth, 0.15), seen)
    fitted = points.posed(body, fit.placed.params) + fit.placed.translation[:, None]
    assert (fitted - joints).norm(dim=2).mean() < 0.012
    off = (empty.project(fitted)[0] - seen.targets).norm(dim=3)
    assert off[seen.weights > 0].mean() < 6


def test_pixels_have_the_right_slope():
    points = torch.randn(3, 5, 3, dtype=torch.float64)
    seen = Pixels(
        torch.full((3, 4, 5, 2), 480.0).double(),
        torch.ones(3, 4, 5).double(),
        four_cameras().projections,
        1 / 9,
        40.0,
    )
    cost, slope, _ = seen.at(points)
    for axis in range(3):
        step = torch.zeros(3, 5, 3, dtype=torch.float64)
        step[:, 2, axis] = 1e-6
        assert torch.allclose(
            (seen.at(points + step)[0] - cost) / 1e-6, slope[:, 2, axis], rtol=1e-3, atol=1e-2
        )


def test_options_are_refused_by_name():
    with pytest.raises(InputError, match=r"fit\.nois_mm: unknown parameter"):
        fit_options({"nois_mm": 3.0}, "fit")
    with pytest.raises(InputError, match=r"fit\.noise_mm: 0\.0 is out of range; expected 0\.001"):
        fit_options({"noise_mm": 0.0}, "fit")
    with pytest.raises(InputError, match=r"fit\.prior: expected a finite number, got nan"):
        fit_options({"prior": float("nan")}, "fit")
