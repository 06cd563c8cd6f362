"""Random changes of training images, on the device, with the 2D keypoints following."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from pmnet.params import Augmentation


def augment(
    images: Float[Tensor, "b 3 s s"],
    keypoints: Float[Tensor, "b j 2"],
    limits: Augmentation,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b j 2"]]:
    """Return images (0 to 1) and keypoints (crop, -1 to 1) scaled, shifted and tinted at random."""
    b, device = len(images), images.device
    noise = (torch.rand(b, 6, generator=generator) * 2 - 1).to(device)
    scale = 1 + limits.scale * noise[:, :1]
    shift = limits.shift * noise[:, 1:3]
    if limits.scale or limits.shift:
        inverse = torch.zeros(b, 2, 3, device=device)
        inverse[:, 0, 0] = inverse[:, 1, 1] = 1 / scale[:, 0]
        inverse[:, :, 2] = -shift / scale
        grid = affine_grid(inverse, list(images.shape), align_corners=False)
        images = grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain = 1 + limits.gain * noise[:, 3:, None, None]
    return images * gain, keypoints * scale[:, None] + shift[:, None]
