"""Images of bodies in coloured clothes, under varied light, before varied backgrounds."""

from typing import Final

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize, pad

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import project
from pmnet.body.parts import JOINTS
from pmnet.images.looks import BACKGROUNDS, Looks, draw_backgrounds
from pmnet.images.raster import NO_FACE, find_hits, gather_corners, rasterize, take

SHIRT: Final = ("spine1", "spine2", "spine3", "collar", "shoulder")
TROUSERS: Final = ("pelvis", "hip", "knee")
SHOES: Final = ("ankle", "foot")
BACKGROUND_MARGIN: Final = 1.3


class Renderer:
    """Renders bodies in the camera frame with weak-perspective cameras."""

    def __init__(
        self, body: BodyModel, size_px: int, supersampling: int, variety: float, seed: int
    ) -> None:
        self.body, self.size_px, self.supersampling = body, size_px, supersampling
        device = body.faces.device
        self.materials = vertex_materials(body).to(device)
        self._faces_of_vertex = _faces_of_vertex(body).to(device)
        generator = torch.Generator().manual_seed(seed)
        side = round(size_px * BACKGROUND_MARGIN)
        self._backgrounds = draw_backgrounds(BACKGROUNDS, side, variety, generator).to(device)

    @torch.no_grad()
    def __call__(
        self, params: BodyParams, cameras: Float[Tensor, "b 3"], looks: Looks
    ) -> UInt8[Tensor, "b 3 s s"]:
        """Return one image per body."""
        vertices = self.body.vertices(params).contiguous()
        foreground = self._shade(vertices, cameras, looks)
        if self.supersampling > 1:
            foreground = avg_pool2d(foreground, self.supersampling)
        images = self._background(looks)
        images = images * (1 - foreground[:, 3:]) + foreground[:, :3]
        return (images.clamp_(0, 1) * 255).to(torch.uint8)

    def _shade(self, vertices: Tensor, cameras: Tensor, looks: Looks) -> Float[Tensor, "b 4 s s"]:
        """Return colour and coverage, supersampled, by Lambert's law at each pixel."""
        size_px = self.size_px * self.supersampling
        faces = self.body.faces
        points = to_pixels(vertices, cameras, size_px)
        hits = find_hits(rasterize(points, faces, size_px), points, faces)
        corners, weights = faces[hits.face], hits.barycentric
        normals = take(self._normals(vertices), hits.image, corners)
        normal = normalize((normals * weights[..., None]).sum(1), dim=1)
        colours = take(looks.palette, hits.image, self.materials[corners])
        albedo = (colours * weights[..., None]).sum(1)
        b = hits.image
        diffuse = (normal * looks.light[b]).sum(1, keepdim=True).clamp_min(0) * looks.light_colour[
            b
        ]
        ambient = looks.ambient[b]
        sky = 0.8 - 0.2 * normal[:, 1:2]
        colour = albedo * (ambient * sky + (1 - ambient) * diffuse)
        canvas = vertices.new_zeros(len(vertices), size_px, size_px, 4)
        canvas[b, hits.row, hits.column] = pad(colour, (0, 1), value=1.0)
        return canvas.permute(0, 3, 1, 2)

    def _normals(self, vertices: Float[Tensor, "b v 3"]) -> Float[Tensor, "b v 3"]:
        """Return vertex normals, not of unit length: sums over the faces, weighted by their area."""
        a, b, c = gather_corners(vertices, self.body.faces).unbind(2)
        of_faces = pad(torch.linalg.cross(b - a, c - a), (0, 0, 0, 1))
        total = torch.zeros_like(vertices)
        for faces in self._faces_of_vertex.unbind(1):  # sums in a fixed order, unlike index_add
            total += of_faces.index_select(1, faces)
        return total

    def _background(self, looks: Looks) -> Float[Tensor, "b 3 s s"]:
        side = self.size_px
        free = self._backgrounds.shape[-1] - side + 1
        corners = (looks.offset * free).long().tolist()
        crops = [
            self._backgrounds[index, :, y : y + side, x : x + side]
            for index, (y, x) in zip(looks.background.tolist(), corners, strict=True)
        ]
        return torch.stack(crops).float().mul_(looks.tint[..., None, None] / 255)


def to_pixels(
    vertices: Float[Tensor, "b v 3"], cameras: Float[Tensor, "b 3"], size_px: int
) -> Float[Tensor, "b v 3"]:
    """Return (x px, y px, depth) of vertices; the depth is positive, in metres."""
    pixels = (project(vertices, cameras) * 0.5 + 0.5) * size_px
    depth = vertices[..., 2:] - vertices[..., 2:].amin(1, keepdim=True) + 1.0
    return torch.cat([pixels, depth], 2)


def silhouettes(
    body: BodyModel, params: BodyParams, cameras: Float[Tensor, "b 3"], size_px: int
) -> Tensor:
    """Return the masks (b, s, s) of the pixels that each body covers."""
    points = to_pixels(body.vertices(params), cameras, size_px)
    return rasterize(points, body.faces, size_px) != NO_FACE


def vertex_materials(body: BodyModel) -> Int[Tensor, "v"]:
    """Return the material of each vertex: 0 skin, 1 shirt, 2 trousers, 3 shoes, 4 hair."""
    of_joint = torch.zeros(len(JOINTS), dtype=torch.long)
    for material, names in ((1, SHIRT), (2, TROUSERS), (3, SHOES)):
        of_joint[[j for j, joint in enumerate(JOINTS) if joint.endswith(names)]] = material
    owner = body.lbs_weights.argmax(1).cpu()
    materials = of_joint[owner]
    template = body.reference.v_template.cpu()
    head = owner == JOINTS.index("head")
    low, high = template[head].amin(0), template[head].amax(0)
    middle = (low + high) / 2
    hair = (template[:, 2] < middle[2]) | (template[:, 1] > high[1] - 0.2 * (high - low)[1])
    materials[head & hair & (template[:, 1] > low[1] + 0.3 * (high - low)[1])] = 4
    return materials


def _faces_of_vertex(body: BodyModel) -> Int[Tensor, "v most"]:
    """Return the faces around each vertex, padded with an index past the last face."""
    faces = body.faces.cpu()
    vertex = faces.reshape(-1)
    order = vertex.argsort(stable=True)
    counts = torch.bincount(vertex, minlength=len(body.parts))
    first = counts.cumsum(0) - counts
    slot = torch.arange(len(vertex)) - first.repeat_interleave(counts)
    table = torch.full((len(counts), int(counts.max())), len(faces))
    table[vertex[order], slot] = order // 3
    return table
