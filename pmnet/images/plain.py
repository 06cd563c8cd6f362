"""Plain renders for figures: one light, a white background, colours with a meaning."""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import View, frame_bodies
from pmnet.body.rotations import axis_rotation
from pmnet.images.looks import PLAIN_BACKGROUND, PLAIN_PALETTE, Looks
from pmnet.images.render import Renderer

CLOSE_UP = View(0.0, 0.0, 0.0, 0.0, margin=0.92, margin_spread=0.0, shift=0.0)


@torch.no_grad()
def render_plain(
    body: BodyModel,
    params: BodyParams,
    size_px: int,
    cameras: Float[Tensor, "b 3"] | None = None,
    materials: Int[Tensor, "v"] | None = None,
    palette: Float[Tensor, "5 3"] | None = None,
) -> UInt8[Tensor, "b 3 s s"]:
    """Return renders on white; without `cameras` each body fills its picture.

    `materials` gives each vertex one of the five colours of `palette`; without them the body wears
    plain clothes.
    """
    if cameras is None:
        cameras = frame_bodies(body.vertices(params), CLOSE_UP, torch.Generator())
    renderer = Renderer(body, size_px, supersampling=2, variety=0.0, seed=0)
    if materials is not None:
        renderer.materials = materials
    colours = torch.tensor(PLAIN_PALETTE) if palette is None else palette
    return renderer(params, cameras, _plain_looks(len(params), colours))


def from_the_front(params: BodyParams) -> BodyParams:
    """Return the bodies upright and facing the camera, whatever their orientation."""
    return _turned(params, 0.0)


def from_the_side(params: BodyParams) -> BodyParams:
    """Return the bodies upright, seen from their right."""
    return _turned(params, math.pi / 2)


def orbited(params: BodyParams, yaw: float) -> BodyParams:
    """Return the bodies as seen by a camera that moved around them by `yaw` (rad)."""
    turn = axis_rotation(1, torch.full((1,), yaw))
    return _with_orient(params, turn @ params.rotmats[:, 0])


def _turned(params: BodyParams, yaw: float) -> BodyParams:
    flip = axis_rotation(0, torch.full((1,), math.pi))
    turn = axis_rotation(1, torch.full((1,), yaw))
    return _with_orient(params, (flip @ turn).expand(len(params), 3, 3))


def _with_orient(params: BodyParams, orient: Float[Tensor, "b 3 3"]) -> BodyParams:
    return BodyParams(torch.cat([orient[:, None], params.rotmats[:, 1:]], 1), params.betas)


def _plain_looks(n: int, palette: Float[Tensor, "5 3"]) -> Looks:
    light = normalize(torch.tensor([[-0.4, -0.6, -1.0]]), dim=1)
    return Looks(
        palette=palette.expand(n, 5, 3),
        light=light.expand(n, 3),
        ambient=torch.full((n, 1), 0.45),
        light_colour=torch.ones(n, 3),
        background=torch.zeros(n, dtype=torch.long),
        offset=torch.zeros(n, 2),
        tint=torch.full((n, 3), 1 / PLAIN_BACKGROUND + 0.01),
    )
