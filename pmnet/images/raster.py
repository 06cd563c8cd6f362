"""A batched z-buffer in plain torch: the same code, and the same faces, on CPU and GPU."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

NO_FACE: Final = -1
# side (px) of the square that covers a face; faces of similar size are drawn together
SIDES: Final = (2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512)
_EMPTY: Final = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Hits:
    """The pixels that see a face: image, row, column, the face, and the place in it."""

    image: Int[Tensor, "p"]
    row: Int[Tensor, "p"]
    column: Int[Tensor, "p"]
    face: Int[Tensor, "p"]
    barycentric: Float[Tensor, "p 3"]


@torch.no_grad()
def rasterize(
    points: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"], size_px: int
) -> Int[Tensor, "b {size_px} {size_px}"]:
    """Return the nearest face at each pixel centre, or NO_FACE.

    `points` are (x px, y px down, depth > 0). Faces seen from behind are culled; ties in depth go to
    the lower face. Raises ValueError where a face is larger than the largest of SIDES.
    """
    corners = gather_corners(points, faces)
    x, y = corners[..., 0], corners[..., 1]
    area = _cross(x, y)
    left = torch.ceil(x.amin(-1) - 0.5).clamp_(0, size_px)
    top = torch.ceil(y.amin(-1) - 0.5).clamp_(0, size_px)
    width = torch.floor(x.amax(-1) - 0.5).clamp_(-1, size_px - 1) - left + 1
    height = torch.floor(y.amax(-1) - 0.5).clamp_(-1, size_px - 1) - top + 1
    # counter-clockwise with y up is negative with y down
    seen = ((width > 0) & (height > 0) & (area < 0)).reshape(-1).nonzero()[:, 0]
    side = torch.maximum(width, height).reshape(-1)[seen].long()
    if len(side) and int(side.max()) > SIDES[-1]:
        raise ValueError(f"a face is over {SIDES[-1]} px wide; render smaller images")
    nearest = torch.full((points.shape[0] * size_px**2,), _EMPTY, device=points.device)
    corner = torch.stack([left.reshape(-1)[seen], top.reshape(-1)[seen]], 1).long()
    area, triangles = area.reshape(-1)[seen], corners.flatten(0, 1).index_select(0, seen)
    smaller = 0
    for larger in SIDES:
        group = ((side > smaller) & (side <= larger)).nonzero()[:, 0]
        smaller = larger
        if len(group):
            image, face = seen[group] // len(faces), seen[group] % len(faces)
            picked = triangles.index_select(0, group), area[group], corner.index_select(0, group)
            _draw(nearest, *picked, image, face, larger, size_px)
    key = nearest.view(-1, size_px, size_px)
    return torch.where(key == _EMPTY, NO_FACE, key & 0xFFFFFFFF)


def gather_corners(
    points: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b f 3 3"]:
    """Return the three corners of each face."""
    return points.index_select(1, faces.reshape(-1)).view(len(points), -1, 3, 3)


def take(
    values: Float[Tensor, "b v c"], image: Int[Tensor, "p"], index: Int[Tensor, "p 3"]
) -> Float[Tensor, "p 3 c"]:
    """Return three rows of `values` per pixel; faster than indexing by two tensors."""
    flat = image[:, None] * values.shape[1] + index
    return (
        values.flatten(0, 1).index_select(0, flat.reshape(-1)).view(len(index), 3, values.shape[2])
    )


def _cross(x: Float[Tensor, "*n 3"], y: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Return twice the signed area of triangles."""
    right, up = x[..., 1:] - x[..., :1], y[..., 1:] - y[..., :1]
    return right[..., 0] * up[..., 1] - right[..., 1] * up[..., 0]


def _draw(
    nearest: Int[Tensor, "pixels"],
    corners: Float[Tensor, "n 3 3"],
    area: Float[Tensor, "n"],
    corner: Int[Tensor, "n 2"],
    image: Int[Tensor, "n"],
    face: Int[Tensor, "n"],
    side: int,
    size_px: int,
) -> None:
    """Lower `nearest` (depth in the high bits, face in the low bits) with the faces of one group."""
    step = torch.arange(side, device=corners.device)
    px, py = corner[:, :1] + step, corner[:, 1:] + step
    cx, cy = px.to(corners.dtype) + 0.5, py.to(corners.dtype) + 0.5
    x, y, depth = corners.unbind(-1)

    def barycentric(i: int, j: int) -> Tensor:
        """Return the weight of the corner opposite to the edge i-j: affine in x and y."""
        a, b = (y[:, i] - y[:, j]) / area, (x[:, j] - x[:, i]) / area
        c = (x[:, i] * y[:, j] - x[:, j] * y[:, i]) / area
        return (a[:, None] * cx + c[:, None])[:, None, :] + (b[:, None] * cy)[:, :, None]

    w0, w1 = barycentric(1, 2), barycentric(2, 0)
    w2 = 1 - w0 - w1
    inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
    inside &= (px < size_px)[:, None, :] & (py < size_px)[:, :, None]
    n, row, column = inside.nonzero(as_tuple=True)
    corner_depth = depth[n]
    w0, w1, w2 = w0[inside], w1[inside], w2[inside]
    z = w0 * corner_depth[:, 0] + w1 * corner_depth[:, 1] + w2 * corner_depth[:, 2]
    # positive floats have the order of their bits
    key = (z.view(torch.int32).long() << 32) | face[n]
    pixel = (image[n] * size_px + py[n, row]) * size_px + px[n, column]
    nearest.scatter_reduce_(0, pixel, key, "amin")


@torch.no_grad()
def find_hits(
    face_ids: Int[Tensor, "b s s"], points: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> Hits:
    """Return the covered pixels with the barycentric coordinates of their centres."""
    image, row, column = (face_ids != NO_FACE).nonzero(as_tuple=True)
    face = face_ids[image, row, column]
    corners = take(points, image, faces[face])
    x = corners[..., 0] - (column.to(points.dtype) + 0.5)[:, None]
    y = corners[..., 1] - (row.to(points.dtype) + 0.5)[:, None]
    area = _cross(x, y)
    w0 = (x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1]) / area
    w1 = (x[:, 2] * y[:, 0] - x[:, 0] * y[:, 2]) / area
    return Hits(image, row, column, face, torch.stack([w0, w1, 1 - w0 - w1], 1))
