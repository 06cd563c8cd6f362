"""Triangulated points: exact ones, noise, and views that are wrong or missing."""

import torch
from fitted import four_cameras

from pmnet.fitting.triangulation import triangulate

PROJECTIONS = four_cameras().projections


def seen(noise_px: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 20 x 6 points within a metre of the origin, and their pixels."""
    generator = torch.Generator().manual_seed(0)
    points = 0.4 * torch.randn(20, 6, 3, generator=generator).double()
    pixels = four_cameras().pixels(points)
    return points, pixels + noise_px * torch.randn(pixels.shape, generator=generator)


def test_exact_pixels_give_exact_points():
    points, pixels = seen()
    found = triangulate(pixels, torch.ones(20, 4, 6), PROJECTIONS, 30.0)
    assert torch.allclose(found.points, points, atol=1e-6)
    assert found.used.all() and found.error_px.max() < 1e-3


def test_a_wrong_view_is_found_and_left_out():
    points, pixels = seen(3.0)
    pixels[:, 2, 1] += 150.0
    pixels[3, 0] = torch.nan
    weights = torch.where(pixels.isfinite().all(3), 1.0, 0.0)
    found = triangulate(pixels, weights, PROJECTIONS, 30.0)
    assert not found.used[:, 2, 1].any() and not found.used[3, 0].any()
    assert found.used.sum() == 20 * 4 * 6 - 20 - 6
    assert (found.points - points).norm(dim=2).mean() < 0.015
    assert found.error_px[0, 2, 1] > 100 and found.error_px[3, 0].isnan().all()


def test_confidence_weighs_views():
    points, pixels = seen()
    pixels[:, 0] += 20.0
    weights = torch.ones(20, 4, 6)
    alike = triangulate(pixels, weights, PROJECTIONS, 100.0).points
    weights[:, 0] = 0.05
    weighed = triangulate(pixels, weights, PROJECTIONS, 100.0).points
    assert (weighed - points).norm(dim=2).mean() < 0.3 * (alike - points).norm(dim=2).mean()


def test_one_view_and_views_that_contradict_each_other_give_no_point():
    _, pixels = seen()
    weights = torch.ones(20, 4, 6)
    weights[0, 1:] = 0
    weights[1, 2:], pixels[1, 0] = 0, pixels[1, 0] + 300.0
    weights[2, 1], weights[2, 3] = 0, 0  # views from the front and the back: nearly one line
    found = triangulate(pixels, weights, PROJECTIONS, 30.0)
    assert found.points[:2].isnan().all() and not found.used[:2].any()
    assert found.points[3:].isfinite().all()
    same = PROJECTIONS[[0, 0, 0, 0]]
    assert (
        triangulate(pixels[:, [0, 0, 0, 0]], torch.ones(20, 4, 6), same, 30.0).points.isnan().all()
    )
