"""The camera of the whole picture: the same pixels as the crop's, for any focal length."""

import numpy as np
import pytest
import torch

from pmnet.body.camera import BOX_PX, crop_to_px, project
from pmnet.core.errors import InputError
from pmnet.predict.boxes import square_around, whole_picture
from pmnet.predict.camera import field_camera, focal_lengths, project_to_picture, translations


@pytest.mark.parametrize("focal_px", [None, 40.0, 900.0, 50_000.0])
def test_points_at_the_depth_of_the_body_lie_where_the_crop_has_them(focal_px):
    draws = np.random.default_rng(0)
    n = 50
    size = draws.integers(100, 4000, (n, 2))
    squares = square_around(np.sort(draws.uniform(0, 3000, (n, 2, 2)), 1).reshape(n, 4), 1.2)
    ours = torch.tensor(np.stack([draws.uniform(0.3, 1.5, n), *draws.normal(0, 0.3, (2, n))], 1))
    points = np.concatenate([draws.normal(0, 0.6, (n, 7, 2)), np.zeros((n, 7, 1))], 2)
    focal = focal_lengths(focal_px, size)
    moved = points + translations(field_camera(ours).numpy(), squares, size, focal)[:, None]
    pixels = project_to_picture(moved, focal, size)
    center = torch.tensor((squares[:, :2] + squares[:, 2:]) / 2)
    scale = torch.tensor((squares[:, 2] - squares[:, 0]) / BOX_PX)
    expected = crop_to_px(project(torch.tensor(points), ours), center, scale)
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=1e-6)


def test_hmr2s_numbers_by_hand():
    # a picture of 400 x 300 px, a square of 200 px around (250, 100), s = 0.8, no shift
    t = translations(
        np.array([[0.8, 0.0, 0.0]]), np.array([[150.0, 0.0, 350.0, 200.0]]),
        np.array([[400, 300]]), np.array([1000.0]),
    )  # fmt: skip
    assert t[0].tolist() == pytest.approx([2 * 50 / 160, 2 * -50 / 160, 2000 / 160])


def test_the_default_focal_length_is_hmr2s():
    assert focal_lengths(None, np.array([[640, 480], [100, 512]])).tolist() == [12500.0, 10000.0]
    with pytest.raises(InputError, match="focal-length"):
        focal_lengths(-1.0, np.array([[1, 1]]))


def test_a_body_of_scale_zero_is_far_but_not_infinitely():
    camera = field_camera(torch.tensor([[0.0, 0.1, 0.0], [-0.5, 0.0, 0.0]]))
    assert torch.isfinite(camera).all() and (camera[:, 0] > 0).all()


def test_the_whole_picture_is_seen():
    assert whole_picture((640, 480)).squares.tolist() == [[0.0, -80.0, 640.0, 560.0]]
