"""Predictions that are brought closer to 2D joints: nearer in the image, and nearer to the truth."""

import numpy as np
import pytest
import torch
from fitted import poses, prior
from people import open_body

from pmnet.body import BodyParams
from pmnet.body.camera import fit_camera, project
from pmnet.fitting.one_view import ImageFit, fit_image
from pmnet.fitting.options import fit_options
from pmnet.fitting.points import joint_points
from pmnet.fitting.rotating import turned

BODIES = 48
INSIDE = torch.tensor([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]])


def predicted(truth: BodyParams) -> BodyParams:
    """Return what a network may say: every joint is off by 0.2 rad per axis."""
    generator = torch.Generator().manual_seed(0)
    turns = 0.2 * torch.randn(len(truth), 24, 3, generator=generator)
    return BodyParams(turned(truth.rotmats, turns), truth.betas)


def world(is_weak: bool) -> tuple[BodyParams, torch.Tensor, torch.Tensor]:
    """Return people, their joints, and the pixels of these with noise of 3 px."""
    truth = poses(BODIES, seed=5)
    joints = open_body().joints(truth)
    generator = torch.Generator().manual_seed(1)
    if is_weak:
        exact = project(joints, torch.tensor([[220.0, 480.0, 520.0]]).expand(BODIES, 3))
    else:
        stood = (joints + torch.tensor([0.3, -0.2, 4.0])) @ INSIDE.mT
        exact = stood[..., :2] / stood[..., 2:]
    return truth, joints, exact + 3 * torch.randn(exact.shape, generator=generator)


def refined(
    start: BodyParams, pixels: torch.Tensor, weights: torch.Tensor, is_weak: bool
) -> ImageFit:
    body, options = open_body(), fit_options({"noise_px": 3.0, "robust_px": 15.0}, "test")
    inside = None if is_weak else INSIDE.expand(len(pixels), 3, 3)
    points = joint_points(body)
    return fit_image(start, pixels, weights, body, points, prior(), options, inside)


def joint_mm(params: BodyParams, joints: torch.Tensor) -> torch.Tensor:
    """Return the mean distance per body after the pelvis is put onto the truth's."""
    found = open_body().joints(params)
    off = (found - found[:, :1]) - (joints - joints[:, :1])
    return 1000 * off.norm(dim=2).mean(1)


@pytest.mark.parametrize("is_weak", [True, False])
def test_refined_bodies_are_nearer_in_the_image_and_in_space(is_weak):
    truth, joints, pixels = world(is_weak)
    start = predicted(truth)
    fit = refined(start, pixels, torch.ones(BODIES, 24), is_weak)
    assert fit.start_px.mean() > 12
    assert fit.reprojection_px.mean() < 4.5
    before, after = joint_mm(start, joints), joint_mm(fit.placed.params, joints)
    assert after.mean() < 0.75 * before.mean()
    assert (after < before).float().mean() > 0.9
    assert torch.equal(fit.placed.params.betas, start.betas)
    if is_weak:
        assert fit.camera[:, 0].sub(220).abs().median() < 11
        drawn = project(open_body().joints(fit.placed.params), fit.camera)
        assert torch.allclose((drawn - pixels).norm(dim=2), fit.reprojection_px, atol=0.05)
    else:
        assert fit.camera.isnan().all()
        away = fit.placed.translation - torch.tensor([0.3, -0.2, 4.0])
        assert away[:, :2].abs().max() < 0.1 and away[:, 2].abs().median() < 0.1


def test_the_error_is_the_one_that_ingestion_rejects_by():
    """`reject.max_reprojection` takes the limbs' mean distance in boxes under the best camera."""
    from pmnet.body.keypoints import J24, LIMBS
    from pmnet.body.parts import JOINTS
    from pmnet.datasets._shared.fits import Fits, reprojection
    from pmnet.datasets._shared.rows import Rows

    _, _, pixels = world(True)
    start = predicted(poses(BODIES, seed=5))
    limbs = [JOINTS.index(joint) for joint in LIMBS]
    weights = torch.zeros(BODIES, 24)
    weights[:, limbs] = 1
    fit = refined(start, pixels, weights, True)
    names = np.array([f"{number}.jpg" for number in range(BODIES)])
    rows = Rows(names, np.full((BODIES, 2), 500.0), np.full(BODIES, 3.0))
    rows.keypoints_2d = np.zeros((BODIES, 24, 3))
    rows.keypoints_2d[:, [J24.index(joint) for joint in LIMBS]] = np.concatenate(
        [pixels[:, limbs].numpy(), np.ones((BODIES, len(LIMBS), 1))], 2
    )
    params = fit.placed.params
    fits = Fits(
        params.rotvecs().flatten(1).double().numpy(),
        params.betas.double().numpy(),
        np.ones(BODIES, bool),
    )
    shares = reprojection(fits, rows, open_body())
    assert np.allclose(shares * 600, fit.reprojection_px.nanmean(1), atol=0.05)


def test_bodies_without_joints_stay_as_they_are():
    truth, joints, pixels = world(True)
    start = predicted(truth)
    weights = torch.ones(BODIES, 24)
    weights[3] = 0
    weights[4, 2:] = 0
    pixels[3] = torch.nan
    fit = refined(start, pixels, weights, True)
    assert fit.fitted.sum() == BODIES - 2 and not fit.fitted[3:5].any()
    for row in (3, 4):
        assert torch.equal(fit.placed.params.rotmats[row], start.rotmats[row])
    assert fit.reprojection_px[3].isnan().all()
    camera = fit_camera(joints, pixels, weights)
    assert camera[3].isnan().all() and fit.camera[5].isfinite().all()
