"""Where the markers of a label lie on a body; `markers.yaml` has the labels of Vicon, CMU and AMASS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.parts import JOINTS, other_side
from pmnet.core.errors import InputError
from pmnet.fitting.points import BodyPoints, rest_normals, vertex_points

TABLE: Final = Path(__file__).with_name("markers.yaml")
OFFSET_M: Final = 0.0095  # of the middle of a marker from the skin: MoSh's
KEYS: Final = {"from", "toward", "skin", "same", "vertex"}
FACING: Final = 0.3  # cosine between the ray and the skin that it leaves


@dataclass(frozen=True)
class Place:
    """Where a label lies: a vertex, or where a ray leaves the skin of some joints."""

    vertex: int | None
    origin: dict[str, float]
    toward: tuple[float, float, float]
    skin: tuple[str, ...]


def plain_label(label: str) -> str:
    """Return a label without the subject before it ("Anna:LFHD"), in capitals."""
    return label.rpartition(":")[2].strip().upper()


def read_table(path: Path = TABLE) -> dict[str, Place]:
    """Return the places of all labels in a table; raises InputError naming the label at fault."""
    try:
        rows = YAML(typ="safe", pure=True).load(path.read_text())
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"{path}: not a readable table of markers ({error})") from None
    if not isinstance(rows, Mapping):
        raise InputError(f"{path}: expected a mapping LABEL: {{from: ..., toward: ..., skin: ...}}")
    table: dict[str, Place] = {}
    for label, row in rows.items():
        place, names = _place(f"{path}: {label}", row), [plain_label(str(label))]
        names += [plain_label(str(name)) for name in row.get("same", [])]
        for name in names:
            table[name] = place
            if name.startswith("L") and place.vertex is None:
                table.setdefault(f"R{name[1:]}", _mirrored(place))
    return table


def _place(where: str, row: Any) -> Place:
    if not isinstance(row, Mapping) or set(row) - KEYS:
        raise InputError(f"{where}: expected the keys {', '.join(sorted(KEYS))}; got {row!r}")
    if "vertex" in row:
        vertex = row["vertex"]
        if isinstance(vertex, bool) or not isinstance(vertex, int) or vertex < 0:
            raise InputError(f"{where}.vertex: {vertex!r} is not the number of a vertex")
        return Place(vertex, {}, (0.0, 0.0, 0.0), ())
    origin, toward, skin = row.get("from"), row.get("toward"), row.get("skin")
    if not isinstance(origin, Mapping) or not isinstance(skin, list) or not origin or not skin:
        raise InputError(
            f"{where}: expected `from` (joints and weights), `toward` and `skin` (joints)"
        )
    if wrong := [str(joint) for joint in (*origin, *skin) if joint not in JOINTS]:
        raise InputError(
            f"{where}: {', '.join(wrong)} is no joint; the joints are {', '.join(JOINTS)}"
        )
    toward = toward if isinstance(toward, list) else []
    numbers = (*origin.values(), *toward)
    if len(toward) != 3 or not all(isinstance(n, int | float) for n in numbers):
        raise InputError(f"{where}: expected numbers in `from`, and three in `toward`")
    x, y, z = (float(number) for number in toward)
    return Place(None, {str(j): float(w) for j, w in origin.items()}, (x, y, z), tuple(skin))


def _mirrored(place: Place) -> Place:
    origin = {other_side(joint): weight for joint, weight in place.origin.items()}
    x, y, z = place.toward
    return Place(None, origin, (-x, y, z), tuple(other_side(joint) for joint in place.skin))


def vertices_of(body: BodyModel, places: Sequence[Place]) -> list[int]:
    """Return the vertex of each place on a body; raises InputError for a vertex that it lacks."""
    vertices, normals = body.rest_shape()[0].T, rest_normals(body)
    joints = body.rest_joints(vertices.new_zeros(1, 10))[0]
    owner = body.lbs_weights.argmax(1)
    return [_vertex(place, vertices, normals, joints, owner) for place in places]


def _vertex(
    place: Place,
    vertices: Float[Tensor, "v 3"],
    normals: Float[Tensor, "v 3"],
    joints: Float[Tensor, "24 3"],
    owner: Int[Tensor, "v"],
) -> int:
    if place.vertex is not None:
        if place.vertex >= len(vertices):
            raise InputError(f"marker at vertex {place.vertex}: the body has {len(vertices)}")
        return place.vertex
    weights = vertices.new_tensor(list(place.origin.values()))
    from_joints = joints[[JOINTS.index(joint) for joint in place.origin]]
    origin = (weights[:, None] * from_joints).sum(0) / weights.sum()
    toward = torch.nn.functional.normalize(vertices.new_tensor(place.toward), dim=0)
    away = vertices - origin
    along = away @ toward
    beside = (away - along[:, None] * toward).norm(dim=1)
    skin = torch.isin(owner, owner.new_tensor([JOINTS.index(joint) for joint in place.skin]))
    facing = skin & (along > 0) & (normals @ toward > FACING)
    return int(torch.where(facing, beside, torch.inf).argmin())


def marker_points(
    body: BodyModel, labels: Sequence[str], table: Mapping[str, Place], offset_m: float = OFFSET_M
) -> BodyPoints:
    """Return known labels as points of a body, each `offset_m` from the skin along the normal."""
    vertices = vertices_of(body, [table[plain_label(label)] for label in labels])
    points = vertex_points(body, labels, vertices)
    return points.moved(offset_m * rest_normals(body)[vertices])


def known_labels(labels: Iterable[str], table: Mapping[str, Place]) -> tuple[list[str], list[str]]:
    """Return the labels that the table has, and those that it lacks."""
    listed = list(labels)
    known = [label for label in listed if plain_label(label) in table]
    return known, [label for label in listed if plain_label(label) not in table]
