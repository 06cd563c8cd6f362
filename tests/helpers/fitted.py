"""People with markers on their skin, whose bodies are known: what the tests of fitting start from."""

from functools import cache
from pathlib import Path

import torch
from people import FAMILIES, VIEW, open_body

from pmnet.body import BodyParams
from pmnet.datasets import synthetic
from pmnet.fitting.cameras import Cameras
from pmnet.fitting.markers import OFFSET_M, marker_points, read_table, vertices_of
from pmnet.fitting.points import BodyPoints, vertex_normals
from pmnet.fitting.prior import PosePrior, learn_prior

LABELS = (
    *("LFHD", "RFHD", "LBHD", "RBHD", "C7", "T10", "CLAV", "STRN"),
    *("LFWT", "RFWT", "LBWT", "RBWT"),
    *(
        f"{side}{name}"
        for name in ("SHO", "UPA", "ELB", "IEL", "FRM", "IWR", "OWR")
        for side in "LR"
    ),
    *(f"{side}{name}" for name in ("FIN", "IHAND", "OHAND", "THI", "KNE", "KNI") for side in "LR"),
    *(f"{side}{name}" for name in ("SHN", "ANK", "HEE", "TOE", "MT5") for side in "LR"),
)


@cache
def poses(n: int, seed: int = 0, betas_spread: float = 1.0) -> BodyParams:
    """Return people in common and rare poses, each with a shape of its own."""
    options = synthetic.Options(n, FAMILIES, 8.0, betas_spread, VIEW, seed)
    return synthetic.read("people", Path(), options, open_body()).body_params()


@cache
def prior() -> PosePrior:
    """Return the prior of other people than those that are fitted."""
    return learn_prior(poses(400, seed=9).rotmats[:, 1:], 0.1)


@cache
def markers() -> BodyPoints:
    """Return the points of LABELS on the open body."""
    return marker_points(open_body(), LABELS, read_table())


def worn(params: BodyParams) -> torch.Tensor:
    """Return the markers (m) that these people wear: 9.5 mm from the posed skin."""
    body, table = open_body(), read_table()
    vertices = body.vertices(params)
    chosen = vertices_of(body, [table[label] for label in LABELS])
    return vertices[:, chosen] + OFFSET_M * vertex_normals(vertices, body.faces)[:, chosen]


def one_shape(params: BodyParams) -> BodyParams:
    """Return the poses with the shape of the first."""
    return BodyParams(params.rotmats, params.betas[:1].expand(len(params), 10))


def four_cameras(distortion: tuple[float, ...] = (0.0,) * 5) -> Cameras:
    """Return four cameras 4 m around the origin, 1,000 px of focal length, y down."""
    turns = []
    for angle in torch.tensor([0.0, 1.6, 3.1, 4.7], dtype=torch.float64):
        forward = torch.stack([-angle.sin(), angle * 0, -angle.cos()])
        down = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        turns.append(torch.stack([torch.linalg.cross(down, forward), down, forward]))
    inside = torch.tensor([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]], dtype=torch.float64)
    away = torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    bends = torch.tensor(distortion, dtype=torch.float64)
    return Cameras(
        ("cam01", "cam02", "cam03", "cam04"),
        inside.expand(4, 3, 3),
        torch.stack(turns),
        away.expand(4, 3),
        bends.expand(4, 5),
    )
