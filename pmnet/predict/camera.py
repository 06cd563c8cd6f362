"""From the camera of a crop to the camera of the whole picture, for any focal length."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.core.errors import InputError

FAR: Final = 5000 / 256  # focal length per px of the longer side (HMR 2.0): nearly weak perspective
LEAST_SCALE: Final = (
    0.01  # of a camera: a body in a hundredth of its crop; at 0 it would be infinitely far
)


def field_camera(camera: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    """Return cameras as the field writes them: (s, tx, ty) with crop coordinates s (X + t), t in m.

    PM-Net's own (Eq. 3) are s X + t. Scales below LEAST_SCALE are raised to it.
    """
    scale = camera[:, :1].clamp_min(LEAST_SCALE)
    return torch.cat([scale, camera[:, 1:] / scale], 1)


def focal_lengths(
    focal_px: float | None, image_size: Int[np.ndarray, "b 2"]
) -> Float[np.ndarray, "b"]:
    """Return the focal length (px) of each picture: the given one, or 5000 / 256 of the longer side."""
    if focal_px is None:
        return image_size.max(1) * FAR
    if not 0 < focal_px < float("inf"):
        raise InputError(f"--focal-length {focal_px:g}: expected px, above 0")
    return np.full(len(image_size), focal_px)


def translations(
    camera: Float[np.ndarray, "b 3"],
    squares: Float[np.ndarray, "b 4"],
    image_size: Int[np.ndarray, "b 2"],
    focal: Float[np.ndarray, "b"],
) -> Float[np.ndarray, "b 3"]:
    """Return where bodies stand in the camera frame of the whole picture (m; x right, y down, z away).

    `camera` is `field_camera`, `squares` (x0, y0, x1, y1 px) are the crops. For a square of side b around
    (cx, cy) in a picture of w x h px with the focal length F: tz = 2 F / (b s) and tx = tx' + 2 (cx - w/2) /
    (b s), ty alike (SPIN, HMR 2.0). A point at the depth of the body's origin is then projected to the same
    pixel as by the camera of the crop, whatever F is.
    """
    scale, shift = camera[:, :1], camera[:, 1:]
    side = squares[:, 2:3] - squares[:, :1]
    middle = (squares[:, :2] + squares[:, 2:]) / 2
    across = shift + 2 * (middle - image_size / 2) / (side * scale)
    return np.concatenate([across, 2 * focal[:, None] / (side * scale)], 1)


def project_to_picture(
    points: Float[np.ndarray, "*b v 3"],
    focal: Float[np.ndarray, "*b"],
    image_size: Int[np.ndarray, "*b 2"],
) -> Float[np.ndarray, "*b v 2"]:
    """Return the pixels of points (m) in the camera frame: x = F X / Z + w / 2, y alike."""
    flat = points[..., :2] / points[..., 2:]
    return focal[..., None, None] * flat + image_size[..., None, :] / 2
