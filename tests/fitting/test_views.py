"""Known people in four cameras: joints with noise, wrong views and lenses that distort."""

import pytest
import torch
from fitted import four_cameras, one_shape, poses, prior
from people import open_body

from pmnet.core.errors import InputError
from pmnet.fitting.options import fit_options
from pmnet.fitting.points import joint_points
from pmnet.fitting.views import ViewsFit, fit_views

FRAMES = 40
BENT = (-0.05, 0.14, 0.0006, -0.0007, 0.0)


def fitted(pixels: torch.Tensor, confidence: torch.Tensor, bends=BENT) -> ViewsFit:
    body = open_body()
    options = fit_options({"noise_px": 3.0, "robust_px": 15.0, "wrong_px": 30.0}, "test")
    others = poses(200, seed=9)
    return fit_views(
        *(pixels, confidence, four_cameras(bends), body, joint_points(body)),
        *(prior(), others, options),
    )


def test_joints_in_four_cameras_with_noise_of_3_px():
    truth = one_shape(poses(FRAMES, seed=5))
    body = open_body()
    joints = body.joints(truth)
    generator = torch.Generator().manual_seed(0)
    exact = four_cameras(BENT).pixels(joints.double()).float()
    pixels = exact + 3 * torch.randn(exact.shape, generator=generator)
    confidence = torch.ones(FRAMES, 4, 24)
    confidence[torch.rand(confidence.shape, generator=generator) < 0.1] = 0
    wrong = (torch.rand(confidence.shape, generator=generator) < 0.05) & (confidence > 0)
    pixels[wrong] += torch.tensor([120.0, -90.0])
    pixels[:, :, 3][confidence[:, :, 3] == 0] = torch.nan
    fit = fitted(pixels, confidence)
    placed = fit.subject.placed
    found = body.joints(placed.params) + placed.translation[:, None]
    joint_mm = 1000 * (found - joints).norm(dim=2).mean(1)
    vertices = body.vertices(placed.params) + placed.translation[:, None]
    vertex_mm = 1000 * (vertices - body.vertices(truth)).norm(dim=2).mean(1)
    triangulated = torch.isfinite(fit.triangulated.points).all(2)
    alone = 1000 * (fit.triangulated.points - joints).norm(dim=2)[triangulated].mean()
    assert joint_mm.mean() < 11 and joint_mm.max() < 20
    assert joint_mm.mean() < 0.6 * alone
    assert vertex_mm.mean() < 21 and vertex_mm.max() < 38
    # what is wrong is left out; what is right is used
    assert (fit.used & wrong).sum() < 0.1 * wrong.sum()
    right = (confidence > 0) & ~wrong
    assert (fit.used & right).sum() > 0.97 * right.sum()
    # the mean length of 2D noise of 3 px is 3.8 px, and the fit cannot be closer than that by much
    used = fit.reprojection_px[fit.used]
    assert 3.2 < used.mean() < 3.8
    assert fit.used_px().shape == (24,) and fit.used_px().max() < 6
    assert fit.reprojection_px[wrong].median() > 100
    assert fit.reprojection_px[confidence == 0].isnan().all()
    assert fit.subject.converged.float().mean() > 0.9
    # the pixels of the exact joints are as far from the fit as its joints are
    drawn = four_cameras(BENT).pixels(found.double()).float()
    assert (drawn - exact).norm(dim=3).mean() < 2.5


def test_frames_that_nobody_sees_take_the_nearest_body():
    truth = one_shape(poses(6, seed=5))
    pixels = four_cameras().pixels(open_body().joints(truth).double()).float()
    confidence = torch.ones(6, 4, 24)
    confidence[2] = 0
    fit = fitted(pixels, confidence, (0.0,) * 5)
    assert fit.subject.fitted.tolist() == [True, True, False, True, True, True]
    assert fit.reprojection_px[2].isnan().all()
    assert fit.subject.residuals[2].isnan().all()
    with pytest.raises(InputError, match="no frame shows 3 known points"):
        fitted(pixels, 0 * confidence)
