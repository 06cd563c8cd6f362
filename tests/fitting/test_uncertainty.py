"""The uncertainty of joints is that of their errors, whatever the noise and however few points there are."""

from collections.abc import Callable

import pytest
import torch
from fitted import four_cameras, markers, one_shape, poses, prior, worn
from people import open_body

from pmnet.body import BodyParams
from pmnet.body.parts import JOINTS
from pmnet.fitting.options import fit_options
from pmnet.fitting.points import BodyPoints, joint_points
from pmnet.fitting.subject import SubjectFit, SubjectFitter
from pmnet.fitting.views import fit_views

Seen = Callable[[BodyParams], torch.Tensor]
CHI_95 = 7.815  # 95 % of chi squared with three degrees of freedom


def fit_of(points: BodyPoints, seen: torch.Tensor, weights: torch.Tensor) -> SubjectFit:
    others = poses(200, seed=9)
    return SubjectFitter(open_body(), points, prior(), others, fit_options({}, "t"))(seen, weights)


def errors(fit: SubjectFit, truth: BodyParams) -> torch.Tensor:
    """Return the vectors (m) from true to fitted joints."""
    found = open_body().joints(fit.placed.params) + fit.placed.translation[:, None]
    return found - open_body().joints(truth)


def within(off: torch.Tensor, fit: SubjectFit) -> tuple[float, float]:
    """Return the share of coordinates within 2 sigma, and of joints in the ellipsoid of 95 %."""
    covariance = fit.uncertainty.covariance
    sigma = covariance.diagonal(dim1=2, dim2=3).sqrt()
    squared = (off[..., None, :] @ torch.linalg.solve(covariance, off[..., None]))[..., 0, 0]
    return (off.abs() < 2 * sigma).float().mean().item(), (squared < CHI_95).float().mean().item()


@pytest.mark.parametrize(
    ("points", "seen", "noise_m", "missing"),
    [
        (markers(), worn, 0.005, 0.1),
        (markers(), worn, 0.010, 0.1),
        (joint_points(open_body()), open_body().joints, 0.005, 0.0),
    ],
)
def test_errors_are_as_large_as_they_are_said_to_be(
    points: BodyPoints, seen: Seen, noise_m: float, missing: float
):
    offs, shares, spreads = [], [], []
    for seed in (5, 6):
        truth = one_shape(poses(48, seed=seed))
        exact = seen(truth)
        generator = torch.Generator().manual_seed(seed)
        noisy = exact + noise_m * torch.randn(exact.shape, generator=generator)
        weights = (torch.rand(exact.shape[:2], generator=generator) > missing).float()
        fit = fit_of(points, noisy, weights)
        off = errors(fit, truth)
        offs.append(off)
        shares.append(within(off, fit))
        spreads.append(fit.uncertainty.sigma_mm)
        assert abs(fit.uncertainty.noise - noise_m / 0.005) < 0.25 * noise_m / 0.005
    by_axis, inside = (sum(values) / len(values) for values in zip(*shares, strict=True))
    assert 0.91 < by_axis < 0.98 and 0.88 < inside < 0.98  # of a normal spread: 0.954 and 0.95
    rms = 1000 * torch.cat(offs).square().sum(2).mean().sqrt()
    assert 0.85 < rms / torch.cat(spreads).square().mean().sqrt() < 1.2


def test_what_is_not_seen_is_less_sure():
    truth = one_shape(poses(30, seed=5))
    weights = torch.ones(30, 48)
    legs = [n for n, name in enumerate(markers().names) if name[1:] in ("KNE", "ANK", "HEE", "TOE")]
    weights[10:20, legs] = 0
    weights[29] = 0
    fit = fit_of(markers(), worn(truth), weights)
    spread = fit.uncertainty.sigma_mm
    ankle, wrist = JOINTS.index("left_ankle"), JOINTS.index("left_wrist")
    assert spread[10:20, ankle].min() > 2 * spread[:10, ankle].max()
    assert spread[10:20, wrist].mean() < 1.3 * spread[:10, wrist].mean()
    assert spread[29].isnan().all() and spread[:29].isfinite().all()


def test_joints_that_no_point_shows_have_the_spread_of_the_prior():
    truth = one_shape(poses(30, seed=5))
    legs = [n for n, name in enumerate(markers().names) if name[1:] in ("KNE", "ANK", "HEE", "TOE")]
    hips = [n for n, name in enumerate(markers().names) if name.endswith("WT")]
    points = markers().select(legs + hips)
    fit = fit_of(points, worn(truth)[:, legs + hips], torch.ones(30, len(points)))
    spread = fit.uncertainty.sigma_mm.mean(0)
    assert spread[JOINTS.index("left_wrist")] > 200 > 30 > spread[JOINTS.index("left_knee")]


def test_pixels_have_an_uncertainty_too():
    truth = one_shape(poses(40, seed=5))
    body = open_body()
    points, joints = joint_points(body), body.joints(truth)
    pixels = four_cameras().pixels(joints.double()).float()
    pixels = pixels + 3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    fit = fit_views(
        *(pixels, torch.ones(40, 4, 24), four_cameras(), body, points, prior()),
        *(poses(200, seed=9), fit_options({"noise_px": 3.0}, "t")),
    ).subject
    by_axis, inside = within(errors(fit, truth), fit)
    assert 0.88 < by_axis < 0.99 and 0.85 < inside < 0.99
    assert 0.8 < fit.uncertainty.noise < 1.2
