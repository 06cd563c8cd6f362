"""Bodies as binary glTF 2.0 (.glb): a plain mesh, or a mesh on its skeleton, still or moving.

glTF is in m, y up, right-handed; a camera looks along -z: the camera frame of predictions after half a
turn about x. On the skeleton, the mesh is the unposed body of the person (SMPL's rest pose) on 24 joints.
What SMPL adds to the skin by pose is part of the mesh of a still body; of a moving body it is a sum of morph
targets, as many as the frames need to be within `TOLERANCE_M`.
"""

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, PARENTS
from pmnet.body.rotations import rotmat_to_unitquat
from pmnet.core.files import replacing
from pmnet.predict.meshes import TO_VIEWER

TOLERANCE_M: Final = 4e-6  # of the skin of a moving body
INFLUENCES: Final = 4  # joints that move a vertex
WELL_DEFINED: Final = 1e3  # largest condition of a blended transform that is turned back
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
TYPES: Final = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
COMPONENTS: Final = {"u1": 5121, "u2": 5123, "f4": 5126}
SKIN: Final = [0.62, 0.64, 0.70, 1.0]


# pygltflib has classes for the document, but no accessors of arrays and no skins: it would save these lines
class GlbFile:
    """A glTF document and its buffer, which grow array by array."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "pmnet"},
            "scene": 0,
            "materials": [
                {"pbrMetallicRoughness": {"baseColorFactor": SKIN, "metallicFactor": 0.0}}
            ],
            "bufferViews": [],
            "accessors": [],
        }

    def add(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Append an array (f4, u1 or u2; rows of 1, 3, 4 or 4 x 4 numbers); return its accessor."""
        self._buffer += b"\0" * (-len(self._buffer) % 4)
        data = np.ascontiguousarray(values).tobytes()
        view = {"buffer": 0, "byteOffset": len(self._buffer), "byteLength": len(data)}
        self.document["bufferViews"].append(view | ({"target": target} if target else {}))
        self._buffer += data
        accessor = {
            "bufferView": len(self.document["bufferViews"]) - 1,
            "componentType": COMPONENTS[values.dtype.str[1:]],
            "count": len(values),
            "type": TYPES[values.shape[1:]],
        }
        if bounds:
            low, high = values.min(0), values.max(0)
            accessor |= {"min": np.atleast_1d(low).tolist(), "max": np.atleast_1d(high).tolist()}
        self.document["accessors"].append(accessor)
        return len(self.document["accessors"]) - 1

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        self._buffer += b"\0" * (-len(self._buffer) % 4)
        self.document["buffers"] = [{"byteLength": len(self._buffer)}]
        text = json.dumps(self.document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self._buffer)
        with replacing(path) as partial, partial.open("wb") as stream:
            stream.write(struct.pack("<4sII", b"glTF", 2, size))
            stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
            stream.write(struct.pack("<I4s", len(self._buffer), b"BIN\0") + self._buffer)


def write_plain_glb(
    path: Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    translation: Float[np.ndarray, "3"],
) -> None:
    """Write a mesh (m, camera frame) that stands at `translation` (m, camera frame)."""
    glb = GlbFile()
    points = (vertices * TO_VIEWER).astype(np.float32)
    attributes = {"POSITION": glb.add(points, ARRAY_BUFFER, bounds=True)}
    attributes["NORMAL"] = glb.add(normals(points, faces), ARRAY_BUFFER)
    glb.document["meshes"] = [{"primitives": [_primitive(glb, attributes, faces)]}]
    place = (translation * TO_VIEWER).astype(float).tolist()
    glb.document["nodes"] = [{"name": "person", "mesh": 0, "translation": place}]
    glb.document["scenes"] = [{"nodes": [0]}]
    glb.write(path)


@torch.no_grad()
def write_skinned_glb(
    path: Path,
    body: BodyModel,
    params: BodyParams,
    translation: Float[np.ndarray, "t 3"],
    times_s: Float[np.ndarray, "t"],
) -> None:
    """Write one body on its skeleton; more than one row is a motion with a key frame at each of `times_s`.

    `body` is in float64. All rows have the betas of the first. `translation` (m) is in the camera frame. The
    skinned vertices are those of `body` plus the translation, after half a turn about x.
    """
    params = BodyParams(params.rotmats.double(), params.betas[:1].double().expand(len(params), -1))
    rest = body.rest_joints(params.betas[:1])[0].numpy()
    turned = params.rotmats.numpy().copy()
    turned[:, 0] = TO_VIEWER[:, None] * turned[:, 0]
    rotations = _continuous(rotmat_to_unitquat(torch.from_numpy(turned)).numpy())
    places = (rest[0] + translation) * TO_VIEWER
    joints, shares = _strongest(body.lbs_weights.numpy())
    skin, targets, weights = _skins(body, params, joints, shares)
    glb = GlbFile()
    faces = body.faces.numpy()
    attributes = {"POSITION": glb.add(skin, ARRAY_BUFFER, bounds=True)}
    attributes["NORMAL"] = glb.add(normals(skin, faces), ARRAY_BUFFER)
    attributes["JOINTS_0"] = glb.add(joints.astype(np.uint8), ARRAY_BUFFER)
    attributes["WEIGHTS_0"] = glb.add(shares.astype(np.float32), ARRAY_BUFFER)
    primitive = _primitive(glb, attributes, faces)
    mesh: dict[str, Any] = {"primitives": [primitive]}
    if len(targets):
        added = [glb.add(target, ARRAY_BUFFER, bounds=True) for target in targets]
        primitive["targets"] = [{"POSITION": accessor} for accessor in added]
        mesh["weights"] = weights[0].tolist()
    glb.document["meshes"] = [mesh]
    _add_skeleton(glb, rest, rotations[0], places[0])
    if len(params) > 1:
        _add_motion(glb, times_s, rotations, places, weights)
    glb.write(path)


def _add_skeleton(
    glb: GlbFile,
    rest: Float[np.ndarray, "24 3"],
    rotations: Float[np.ndarray, "24 4"],
    place: Float[np.ndarray, "3"],
) -> None:
    nodes = []
    for joint, name in enumerate(JOINTS):
        offset = place if joint == 0 else rest[joint] - rest[PARENTS[joint]]
        node = {
            "name": name,
            "translation": offset.tolist(),
            "rotation": rotations[joint].tolist(),
        }
        if children := [other for other, parent in enumerate(PARENTS) if parent == joint]:
            node["children"] = children
        nodes.append(node)
    back = np.tile(np.eye(4, dtype=np.float32), (len(JOINTS), 1, 1))
    back[:, 3, :3] = -rest  # glTF stores columns
    skin = {
        "joints": list(range(len(JOINTS))), "skeleton": 0, "inverseBindMatrices": glb.add(back)
    }  # fmt: skip
    nodes.append({"name": "person", "mesh": 0, "skin": 0})
    glb.document["nodes"], glb.document["skins"] = nodes, [skin]
    glb.document["scenes"] = [{"nodes": [0, len(JOINTS)]}]


def _add_motion(
    glb: GlbFile,
    times_s: Float[np.ndarray, "t"],
    rotations: Float[np.ndarray, "t 24 4"],
    places: Float[np.ndarray, "t 3"],
    weights: Float[np.ndarray, "t r"],
) -> None:
    times = glb.add(times_s.astype(np.float32), bounds=True)
    tracks = [(0, "translation", places)]
    tracks += [(joint, "rotation", rotations[:, joint]) for joint in range(len(JOINTS))]
    if weights.shape[1]:
        tracks.append((len(JOINTS), "weights", weights.reshape(-1)))
    samplers, channels = list[dict[str, Any]](), list[dict[str, Any]]()
    for node, path, values in tracks:
        output = glb.add(values.astype(np.float32))
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    glb.document["animations"] = [{"name": "motion", "samplers": samplers, "channels": channels}]


def _skins(
    body: BodyModel,
    params: BodyParams,
    joints: Int[np.ndarray, "v i"],
    weights: Float[np.ndarray, "v i"],
) -> tuple[np.ndarray, list[np.ndarray], Float[np.ndarray, "t r"]]:
    """Return the unposed skin, morph targets (float32, m) and their weights, which make each frame's skin.

    The skin of a frame is SMPL's: template, shape, and what the pose adds. Vertices that more joints move
    than viewers use are placed so that those joints bring them to the same point. Morph targets are the
    principal components of the skin over the frames.
    """
    template, directions = body.rest_shape()
    rest = template + torch.einsum("tf,fcv->tcv", body.features(params), directions)
    skins = rest.transpose(1, 2).numpy().copy()
    cut = np.flatnonzero((body.lbs_weights > 0).sum(1).numpy() > joints.shape[1])
    if len(cut):
        transforms = body.transforms(params).numpy()
        blended = np.einsum("vi,tvixy->tvxy", weights[cut], transforms[:, joints[cut]])
        wanted = body.vertices(params).numpy()[:, cut] - blended[..., 3]
        well = np.linalg.cond(blended[..., :3]) < WELL_DEFINED
        inverse = np.linalg.pinv(blended[..., :3])
        placed = np.einsum("tvxy,tvy->tvx", inverse, wanted)
        skins[:, cut] = np.where(well[..., None], placed, skins[:, cut])
    flat = skins.reshape(len(skins), -1)
    middle = flat.mean(0)
    targets, amounts = _components(flat - middle)

    def as_points(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values.reshape(-1, 3).astype(np.float32))

    return as_points(middle), [as_points(one) for one in targets], amounts


def _components(
    changes: Float[np.ndarray, "t n"],
) -> tuple[Float[np.ndarray, "r n"], Float[np.ndarray, "t r"]]:
    """Return the fewest principal components, and amounts, whose products are the changes."""
    _, axes = np.linalg.eigh(changes @ changes.T)
    amounts = axes[:, ::-1]
    components = amounts.T @ changes
    low, high = 0, len(changes)
    while low < high:  # the least number that is near enough
        count = (low + high) // 2
        if np.abs(changes - amounts[:, :count] @ components[:count]).max() <= TOLERANCE_M:
            high = count
        else:
            low = count + 1
    return components[:low], np.ascontiguousarray(amounts[:, :low])


def _strongest(
    weights: Float[np.ndarray, "v 24"],
) -> tuple[Int[np.ndarray, "v i"], Float[np.ndarray, "v i"]]:
    """Return the joints that move each vertex most, and their weights, which sum to 1.

    They are INFLUENCES per vertex: viewers such as three.js leave out a second set.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, joints, 1)
    kept = kept / kept.sum(1, keepdims=True)
    return np.where(kept > 0, joints, 0), kept


def _primitive(
    glb: GlbFile, attributes: dict[str, int], faces: Int[np.ndarray, "f 3"]
) -> dict[str, Any]:
    indices = glb.add(faces.reshape(-1).astype(np.uint16), ELEMENT_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": 0}


def _continuous(rotations: Float[np.ndarray, "t j 4"]) -> Float[np.ndarray, "t j 4"]:
    """Return unit quaternions whose signs do not jump from one frame to the next."""
    same = (rotations[1:] * rotations[:-1]).sum(-1) >= 0
    signs = np.cumprod(np.where(same, 1.0, -1.0), axis=0)
    return np.concatenate([rotations[:1], rotations[1:] * signs[..., None]])


def normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Return unit normals of vertices: means over their faces, weighted by area."""
    a, b, c = (vertices[faces[:, corner]].astype(float) for corner in range(3))
    of_faces = np.cross(b - a, c - a)
    total = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(total, faces[:, corner], of_faces)
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])  # of a vertex without faces
    return np.where(lengths > 0, total / np.maximum(lengths, 1e-30), up).astype(np.float32)
