"""Joints of any named set as points of a body; `joints.yaml` has the names."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import torch
from ruamel.yaml import YAML
from smplx.vertex_ids import vertex_ids

from pmnet.body import BodyModel
from pmnet.body.keypoints import J24
from pmnet.body.parts import JOINTS, other_side
from pmnet.fitting.points import BodyPoints, joint_points, regressed_points

TABLE: Final = Path(__file__).with_name("joints.yaml")
# names that show which set they belong to: J24, where "neck" and "head" lie elsewhere, or bones
OF_J24: Final = {"thorax", "jaw", "headtop"}
OF_BONES: Final = {"leftforearm", "rightforearm"}
Lies = tuple[str, str]  # joint, keypoint or vertex, and which


def plain_name(label: str) -> str:
    """Return the name of a joint without the subject before it ("Anna:LHip"), capitals and signs."""
    return "".join(sign for sign in label.rpartition(":")[2].lower() if sign.isalnum())


def known_joints(labels: Sequence[str]) -> dict[str, Lies]:
    """Return where the labels lie that are joints, by label."""
    names = {label: plain_name(label) for label in labels}
    table = dict(_table("any"))
    if OF_BONES & set(names.values()):
        table |= _table("bones")
    if OF_J24 & set(names.values()):
        table |= {plain_name(joint): ("keypoint", joint) for joint in J24}
    return {label: table[name] for label, name in names.items() if name in table}


@cache
def _table(section: str) -> Mapping[str, Lies]:
    rows = YAML(typ="safe", pure=True).load(TABLE.read_text())[section]
    table: dict[str, Lies] = {}
    for name, row in rows.items():
        ((kind, what),) = ((k, v) for k, v in row.items() if k != "same")
        names = [plain_name(each) for each in (name, *row.get("same", []))]
        table |= dict.fromkeys(names, (kind, what))
        if name.startswith("left_"):
            twin = _right_vertex(what) if kind == "vertex" else other_side(what)
            table |= dict.fromkeys(map(_right, names), (kind, twin))
    return table


def _right(name: str) -> str:
    """Return the name of the joint on the other side: lefthip, lhip."""
    return f"right{name[4:]}" if name.startswith("left") else f"r{name[1:]}"


def _right_vertex(name: str) -> str:
    """Return smplx's name of the vertex on the other side: LHeel, lthumb."""
    return ("R" if name[0] == "L" else "r") + name[1:]


def points_of_joints(body: BodyModel, places: Sequence[Lies]) -> BodyPoints:
    """Return joints, annotated joints and vertices as points of a body, in their order."""
    skeleton = joint_points(body)
    rows = [JOINTS.index(what) for kind, what in places if kind == "joint"]
    others = [place for place in places if place[0] != "joint"]
    parts = [skeleton.select(rows)] if rows else []
    if others:
        regressor = torch.stack([_regressor(body, place) for place in others])
        parts.append(regressed_points(body, [what for _, what in others], regressor))
    if len(parts) == 1:
        return parts[0]
    both = BodyPoints.cat(parts)
    order = [i for i, (kind, _) in enumerate(places) if kind == "joint"]
    order += [i for i, (kind, _) in enumerate(places) if kind != "joint"]
    return both.select([order.index(i) for i in range(len(places))])


def _regressor(body: BodyModel, place: Lies) -> torch.Tensor:
    """Return the shares of the vertices in a point."""
    kind, what = place
    if kind == "keypoint":
        return body.get_buffer("_keypoint_regressor")[J24.index(what)]
    row = torch.zeros_like(body.lbs_weights[:, 0])
    row[vertex_ids["smplh"][what]] = 1
    return row
