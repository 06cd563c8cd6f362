"""The weak-perspective camera, and virtual cameras for motion capture.

Camera frame as in SPIN: x right, y DOWN, z away from the camera, metres. An upright person facing the
camera has a `global_orient` of half a turn about x. Crop coordinates run from -1 to 1 over the square
box of the person, y down.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from pmnet.body.rotations import axis_rotation
from pmnet.core.ranges import Angle, Share

BOX_PX = 200.0  # a box of scale 1 is 200 px wide (MPII, SPIN)


@dataclass(frozen=True)
class View:
    """The virtual cameras of a data set without images; angles in degrees.

    The body's own heading is removed first, so that a yaw of 0 is frontal. The yaw has a normal spread;
    a share `yaw_uniform` of the bodies is seen from any side. `margin` and `shift`: see `frame_bodies`.
    """

    yaw_spread_deg: Angle
    yaw_uniform: Share
    pitch_spread_deg: Angle
    roll_spread_deg: Angle
    margin: Annotated[float, Interval(gt=0.0, le=1.0)]
    margin_spread: Share
    shift: Share


def project(
    points: Float[Tensor, "*b j 3"], camera: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b j 2"]:
    """Return crop coordinates of points (m) under a weak-perspective camera (s, tx, ty).

    J2D = s J3D_xy + (tx, ty) (Eq. 3).
    """
    return camera[..., None, :1] * points[..., :2] + camera[..., None, 1:]


def crop_to_px(
    crop: Float[Tensor, "*b j 2"], center: Float[Tensor, "*b 2"], scale: Float[Tensor, "*b"]
) -> Float[Tensor, "*b j 2"]:
    """Return image pixels of crop coordinates; the box is 200 * `scale` px wide."""
    return center[..., None, :] + crop * (BOX_PX / 2 * scale)[..., None, None]


def px_to_crop(
    px: Float[Tensor, "*b j 2"], center: Float[Tensor, "*b 2"], scale: Float[Tensor, "*b"]
) -> Float[Tensor, "*b j 2"]:
    """Return crop coordinates of image pixels, the inverse of `crop_to_px`."""
    return (px - center[..., None, :]) / (BOX_PX / 2 * scale)[..., None, None]


def view_bodies(
    global_orient: Float[Tensor, "n 3 3"], view: View, generator: torch.Generator
) -> Float[Tensor, "n 3 3"]:
    """Return the orientations in the camera frame of bodies that are given upright with y up.

    The body's heading is removed, then a random yaw, pitch and roll of the camera are applied.
    """
    n = len(global_orient)

    def normal(spread_deg: float) -> Tensor:
        return torch.randn(n, generator=generator) * math.radians(spread_deg)

    forward = global_orient[..., 2]
    heading = torch.atan2(forward[:, 0], forward[:, 2])
    anywhere = (torch.rand(n, generator=generator) * 2 - 1) * math.pi
    frontal = normal(view.yaw_spread_deg)
    all_around = torch.rand(n, generator=generator) < view.yaw_uniform
    yaw = torch.where(all_around, anywhere, frontal)
    pitch = normal(view.pitch_spread_deg).clamp(-math.pi / 6, math.pi / 6)
    roll = normal(view.roll_spread_deg)
    flip_y_down = axis_rotation(0, torch.full((1,), math.pi))
    camera = axis_rotation(2, roll) @ axis_rotation(0, pitch) @ axis_rotation(1, yaw - heading)
    return flip_y_down @ camera @ global_orient


def frame_bodies(
    vertices: Float[Tensor, "n v 3"], view: View, generator: torch.Generator
) -> Float[Tensor, "n 3"]:
    """Return for each body a weak-perspective camera that puts it into its crop.

    The body fills a share `view.margin` of the crop, plus or minus `view.margin_spread`; its centre is
    shifted by up to `view.shift` of the crop's half width.
    """
    low, high = vertices[..., :2].amin(1), vertices[..., :2].amax(1)
    n = len(vertices)
    noise = torch.rand(n, 3, generator=generator).to(vertices.device) * 2 - 1
    fill = view.margin + view.margin_spread * noise[:, 0]
    scale = 2 * fill / (high - low).amax(1)
    shift = view.shift * noise[:, 1:] - scale[:, None] * (low + high) / 2
    return torch.cat([scale[:, None], shift], 1)


def fit_camera(
    points: Float[Tensor, "b j 3"], crop: Float[Tensor, "b j 2"], weights: Float[Tensor, "b j"]
) -> Float[Tensor, "b 3"]:
    """Return the weak-perspective cameras that bring points (m) closest to crop coordinates.

    Least squares with `weights`, which are at least 0; NaN where fewer than two weights are above 0.
    """
    w = weights[..., None]
    total = w.sum(1, keepdim=True)
    flat, crop = points[..., :2], torch.where(w > 0, crop, 0)
    middle, target = (
        (w * flat).sum(1, keepdim=True) / total,
        (w * crop).sum(1, keepdim=True) / total,
    )
    a, b = flat - middle, crop - target
    scale = (w * a * b).sum((1, 2)) / (w * a * a).sum((1, 2))
    shift = target[:, 0] - scale[:, None] * middle[:, 0]
    known = (weights > 0).sum(1) > 1
    return torch.where(known[:, None], torch.cat([scale[:, None], shift], 1), torch.nan)
