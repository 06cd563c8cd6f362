"""The vertices of a .glb at a time, by glTF's rules: an own small evaluation, in float64."""

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

COUNTS = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
KINDS = {5121: "<u1", 5123: "<u2", 5126: "<f4"}


class Glb:
    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, size = struct.unpack_from("<4sII", content)
        assert (magic, version, size) == (b"glTF", 2, len(content))
        length, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON" and length % 4 == 0
        self.document = json.loads(content[20 : 20 + length])
        self.buffer = content[20 + length + 8 :]
        assert self.document["buffers"] == [{"byteLength": len(self.buffer)}]

    def array(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        shape = (accessor["count"], *COUNTS[accessor["type"]])
        kind = np.dtype(KINDS[accessor["componentType"]])
        assert view["byteOffset"] % 4 == 0
        assert view["byteLength"] == kind.itemsize * int(np.prod(shape))
        return np.frombuffer(self.buffer, kind, int(np.prod(shape)), view["byteOffset"]).reshape(
            shape
        )


def skinned_vertices(path: Path, time_s: float) -> np.ndarray:
    """Return the vertices in the scene; `time_s` is a key frame where there is a motion."""
    glb = Glb(path)
    nodes = [dict(node) for node in glb.document["nodes"]]
    (mesh,) = glb.document["meshes"]
    (primitive,) = mesh["primitives"]
    weights = np.array(mesh.get("weights", ()))
    for animation in glb.document.get("animations", []):
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            frame = int(np.abs(glb.array(sampler["input"]) - time_s).argmin())
            values = glb.array(sampler["output"])
            path_ = channel["target"]["path"]
            if path_ == "weights":
                weights = values.reshape(-1, len(weights))[frame]
            else:
                nodes[channel["target"]["node"]][path_] = values[frame].tolist()
    vertices = glb.array(primitive["attributes"]["POSITION"]).astype(float)
    for weight, target in zip(weights, primitive.get("targets", []), strict=True):
        vertices = vertices + weight * glb.array(target["POSITION"])
    places = world(nodes, glb.document["scenes"][0]["nodes"])
    (owner,) = (index for index, node in enumerate(nodes) if "mesh" in node)
    points = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    if "skin" not in nodes[owner]:
        return (points @ places[owner].T)[:, :3]
    (skin,) = glb.document["skins"]
    back = glb.array(skin["inverseBindMatrices"]).astype(float).transpose(0, 2, 1)
    bones = np.stack([places[joint] for joint in skin["joints"]]) @ back
    joints = glb.array(primitive["attributes"]["JOINTS_0"])
    shares = glb.array(primitive["attributes"]["WEIGHTS_0"]).astype(float)
    assert "JOINTS_1" not in primitive["attributes"]  # which three.js would leave out
    return np.einsum("vi,vixy,vy->vx", shares, bones[joints], points)[:, :3]


def world(nodes: list[dict], roots: list[int]) -> dict[int, np.ndarray]:
    """Return the transform of each node in the scene."""
    places: dict[int, np.ndarray] = {}

    def visit(index: int, above: np.ndarray) -> None:
        own = np.eye(4)
        own[:3, :3] = Rotation.from_quat(nodes[index].get("rotation", (0, 0, 0, 1))).as_matrix()
        own[:3, 3] = nodes[index].get("translation", (0, 0, 0))
        places[index] = above @ own
        for child in nodes[index].get("children", []):
            visit(child, places[index])

    for root in roots:
        visit(root, np.eye(4))
    return places
