"""Pictures of predictions: the mesh on the picture, the side view, the prototype that was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import frame_bodies
from pmnet.images.plain import CLOSE_UP, orbited
from pmnet.images.raster import find_hits, rasterize, take
from pmnet.images.render import to_pixels
from pmnet.predict.camera import project_to_picture
from pmnet.predict.gltf import normals
from pmnet.predict.predictions import Predictions, share_percent

LONGEST_PX: Final = 512  # of a picture with meshes; no face is then too large to draw
SHORTEST_PX: Final = 320  # small pictures are enlarged to it
PANEL_PX: Final = 320  # of the side view and of the prototype
CAPTION_PX: Final = 26
SUPERSAMPLING: Final = 2
OPACITY: Final = 0.8
NEAREST_M: Final = 1e-3  # points nearer to the camera are drawn there
LIGHT: Final = (-0.3, -0.5, -1.0)
# of the people in a picture: colours of Okabe and Ito, which colour-blind people can tell apart
COLOURS: Final = (
    *((0.34, 0.71, 0.91), (0.90, 0.62, 0.0), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65)),
    *((0.94, 0.89, 0.26), (0.84, 0.37, 0.0)),
)


GREY: Final = (0.72, 0.74, 0.80)  # of a body without a picture

Drawn = tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh in the camera frame of a picture (m), the focal length (px) of the picture, a colour."""

    vertices: Float[np.ndarray, "v 3"]
    focal: float
    colour: tuple[float, float, float] = COLOURS[0]


def drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (px) in which a picture of this size is drawn."""
    longest = max(size)
    wanted = min(max(longest, SHORTEST_PX), LONGEST_PX)
    return max(round(size[0] * wanted / longest), 1), max(round(size[1] * wanted / longest), 1)


def coverage(
    mesh: PlacedMesh, body: BodyModel, size: tuple[int, int], drawn: tuple[int, int]
) -> Drawn:
    """Return the shaded colour of a mesh times its coverage (0 to 1), and the coverage, in `drawn` px."""
    placed = _in_front(mesh.vertices)
    flat = project_to_picture(placed, np.array(mesh.focal), np.array(size))
    points = np.concatenate([flat * np.array(drawn) / np.array(size), placed[:, 2:]], 1)
    return _draw(points, mesh.vertices, body, drawn, mesh.colour)


@torch.no_grad()
def _draw(
    points: Float[np.ndarray, "v 3"],
    vertices: Float[np.ndarray, "v 3"],
    body: BodyModel,
    drawn: tuple[int, int],
    colour: tuple[float, float, float],
) -> Drawn:
    """Return colour and coverage of a mesh whose vertices are at `points` (x px, y px, depth)."""
    faces = body.faces.cpu()
    vertex_normals = torch.from_numpy(normals(vertices, faces.numpy()))
    for times in (SUPERSAMPLING, 1):
        enlarged = torch.from_numpy(points * np.array([times, times, 1])).float()[None]
        try:
            seen = rasterize(enlarged, faces, max(drawn) * times)
        except ValueError:  # a face is too large, of a mesh that is far larger than the picture
            continue
        image = _shaded(seen, enlarged, faces, vertex_normals, colour)
        image = avg_pool2d(image, times)[0, :, : drawn[1], : drawn[0]]
        return image[:3].permute(1, 2, 0).numpy(), image[3].numpy()
    raise AssertionError("a face cannot be larger than the picture")


def _in_front(vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    depth = np.maximum(vertices[:, 2:], NEAREST_M)
    return np.concatenate([vertices[:, :2], depth], 1)


def _shaded(
    seen: Tensor, points: Tensor, faces: Tensor, vertex_normals: Tensor, colour: Sequence[float]
) -> Float[Tensor, "1 4 s s"]:
    hits = find_hits(seen, points, faces)
    corners = take(vertex_normals[None], hits.image, faces[hits.face])
    normal = normalize((corners * hits.barycentric[..., None]).sum(1), dim=1)
    light = normalize(torch.tensor(LIGHT), dim=0)
    bright = 0.35 + 0.65 * (normal @ light).clamp_min(0)
    canvas = torch.zeros(1, seen.shape[1], seen.shape[2], 4)
    canvas[hits.image, hits.row, hits.column, :3] = bright[:, None] * torch.tensor(colour)
    canvas[hits.image, hits.row, hits.column, 3] = 1.0
    return canvas.permute(0, 3, 1, 2)


def silhouette(
    mesh: PlacedMesh, body: BodyModel, size: tuple[int, int], drawn: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return the mask of the pixels that a mesh covers, in a picture that is drawn in `drawn` px."""
    return coverage(mesh, body, size, drawn)[1] >= 0.5


def meshes_on_picture(
    picture: Image.Image, meshes: Sequence[PlacedMesh], body: BodyModel
) -> Image.Image:
    """Return a picture, at most LONGEST_PX long, with meshes on it; nearer ones hide farther ones."""
    drawn = drawn_size(picture.size)
    canvas = np.asarray(picture.resize(drawn, Image.Resampling.LANCZOS), np.float32) / 255
    for mesh in sorted(meshes, key=lambda mesh: -float(mesh.vertices[:, 2].mean())):
        colour, covered = coverage(mesh, body, picture.size, drawn)
        canvas = canvas * (1 - OPACITY * covered[..., None]) + OPACITY * colour
    return _as_picture(canvas)


@torch.no_grad()
def side_view(body: BodyModel, params: BodyParams) -> Image.Image:
    """Return a render of one body from its side (of the camera's view), PANEL_PX wide."""
    return body_view(body, orbited(params, float(np.pi / 2)))


@torch.no_grad()
def body_view(body: BodyModel, params: BodyParams) -> Image.Image:
    """Return a render of one body as the camera sees it, on white, PANEL_PX wide."""
    vertices = body.vertices(params)
    cameras = frame_bodies(vertices, CLOSE_UP, torch.Generator())
    points = to_pixels(vertices, cameras, PANEL_PX)[0].numpy()
    size = PANEL_PX, PANEL_PX
    colour, covered = _draw(points, vertices[0].numpy(), body, size, GREY)
    return _as_picture(colour + 1 - covered[..., None])


def _as_picture(values: Float32[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def overlay(
    picture: Image.Image,
    mesh: PlacedMesh,
    side: Image.Image,
    prototype: Image.Image,
    caption: str,
    body: BodyModel,
) -> Image.Image:
    """Return three panels and a caption: the mesh on the picture, the side view, the prototype."""
    first = meshes_on_picture(picture, [mesh], body)
    height = max(first.height, PANEL_PX)
    sheet = Image.new("RGB", (first.width + 2 * PANEL_PX, height + 2 * CAPTION_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    left = 0
    titles = "mesh on the picture", "from the side", "prototype"
    for panel, title in zip((first, side, prototype), titles, strict=True):
        pen.text((left + 6, 4), title, "black", font)
        sheet.paste(panel, (left, CAPTION_PX + (height - panel.height) // 2))
        left += panel.width
    pen.text((6, height + CAPTION_PX + 4), caption, "black", font)
    return sheet


def caption_of(predictions: Predictions, row: int) -> str:
    """Return how rare the pose of a prediction is, in a line."""
    p = predictions
    return (
        f"{p.distance_to_mean_mm[row]:.0f} mm from the mean body; prototype {p.prototype[row]} with "
        f"{share_percent(float(p.prototype_share[row]))} of the training poses, probability "
        f"{p.prototype_probability[row]:.2f}"
    )
