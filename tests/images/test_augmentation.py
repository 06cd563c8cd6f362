"""Augmentation: nothing at zero limits, and keypoints that stay on what they mark."""

import pytest
import torch
from torch import Tensor

from pmnet.images.augmentation import augment
from pmnet.params import Augmentation

SIZE_PX = 65
NOTHING = Augmentation(scale=0.0, shift=0.0, gain=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dots(keypoints: Tensor) -> Tensor:
    """Return images with a soft bright dot at the one keypoint (crop) of each."""
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 - 1
    x, y = (keypoints[:, 0, c, None, None] for c in (0, 1))
    squared = (axis[None, None] - x) ** 2 + (axis[None, :, None] - y) ** 2
    return torch.exp(-squared / (2 * 0.05**2))[:, None].expand(-1, 3, -1, -1)


def found(images: Tensor) -> Tensor:
    """Return where (crop) the light of each image is."""
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 - 1
    light = images.mean(1)
    total = light.sum((1, 2))
    x, y = (light.sum(1) * axis).sum(1) / total, (light.sum(2) * axis).sum(1) / total
    return torch.stack([x, y], 1)


def test_zero_limits_change_nothing():
    images = torch.rand(4, 3, 16, 16, generator=seeded())
    keypoints = torch.randn(4, 24, 2, generator=seeded())
    after = augment(images, keypoints, NOTHING, seeded())
    assert torch.equal(after[0], images) and torch.equal(after[1], keypoints)


@pytest.mark.parametrize(
    "limits",
    [
        Augmentation(scale=0.3, shift=0.0, gain=0.0),
        Augmentation(scale=0.0, shift=0.3, gain=0.0),
        Augmentation(scale=0.2, shift=0.2, gain=0.2),
    ],
)
def test_keypoints_follow_the_image(limits):
    keypoints = torch.rand(40, 1, 2, generator=seeded(1)) - 0.5
    images, moved = augment(dots(keypoints), keypoints, limits, seeded(2))
    assert moved.abs().max() < 0.9
    torch.testing.assert_close(found(images), moved[:, 0], atol=0.01, rtol=0)
    # in each direction, both ways, and not all alike
    change = (moved - keypoints)[:, 0]
    assert (change.amin(0) < -0.05).all() and (change.amax(0) > 0.05).all()


def test_scale_and_shift_by_hand():
    keypoints = torch.tensor([[[0.0, 0.0], [0.5, -0.5]]]).repeat(300, 1, 1)
    limits = Augmentation(scale=0.2, shift=0.1, gain=0.0)
    _, moved = augment(torch.zeros(300, 3, 2, 2), keypoints, limits, seeded())
    shift = moved[:, 0]
    scale = (moved[:, 1] - shift) / keypoints[:, 1]
    torch.testing.assert_close(scale[:, 0], scale[:, 1])  # one scale for both axes
    for values, least, most in ((scale, 0.8, 1.2), (shift, -0.1, 0.1)):
        assert least <= values.min() < least + 0.01 and most - 0.01 < values.max() <= most
    together = torch.corrcoef(torch.stack([scale[:, 0], *shift.unbind(1)]))
    assert (together - torch.eye(3)).abs().max() < 0.2  # each is drawn by itself


def test_gain_is_one_number_a_channel_of_an_image():
    images = torch.rand(50, 3, 8, 8, generator=seeded()) * 0.5 + 0.25
    limits = Augmentation(scale=0.0, shift=0.0, gain=0.3)
    after, keypoints = augment(images, torch.zeros(50, 1, 2), limits, seeded(1))
    gain = after / images
    torch.testing.assert_close(gain, gain[:, :, :1, :1].expand_as(gain))
    assert 0.7 <= gain.min() < 0.75 and 1.25 < gain.max() <= 1.3001
    assert len(gain[:, :, 0, 0].round(decimals=4).unique()) > 100
    assert (keypoints == 0).all()


def test_the_edge_is_continued_where_the_image_ends():
    limits = Augmentation(scale=0.3, shift=0.3, gain=0.0)
    after, _ = augment(torch.full((8, 3, 9, 9), 0.5), torch.zeros(8, 1, 2), limits, seeded())
    torch.testing.assert_close(after, torch.full_like(after, 0.5))


def test_changes_come_from_the_generator_alone():
    images = torch.rand(3, 3, 16, 16, generator=seeded())
    keypoints = torch.zeros(3, 1, 2)
    limits = Augmentation(scale=0.2, shift=0.2, gain=0.2)
    first, again, other = (augment(images, keypoints, limits, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
