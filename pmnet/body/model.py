"""The body model: smplx as the reference, and fused linear blend skinning for bulk work."""

import contextlib
import hashlib
import io
from pathlib import Path

import numpy as np
import smplx
import torch
from jaxtyping import Float
from smplx.utils import SMPLOutput, Struct
from torch import Tensor, nn

from pmnet.body.files import body_of, genders_in, read_body
from pmnet.body.keypoints import H36M_CURE, keypoint_regressor
from pmnet.body.params import BodyParams
from pmnet.body.parts import PARENTS, vertex_parts
from pmnet.core.errors import InputError

CPU_CHUNK = 32  # bodies whose per-vertex transforms stay in the cache of a core


def smplx_model(arrays: dict[str, np.ndarray]) -> smplx.SMPL:
    """Return the reference model, built without chumpy and without reading a pickle."""
    with contextlib.redirect_stdout(io.StringIO()):  # smplx prints "only 10 shape coefficients"
        dtype = torch.from_numpy(arrays["v_template"]).dtype
        own = Struct(**body_of(arrays, "neutral"))
        return smplx.SMPL("", data_struct=own, create_transl=False, dtype=dtype)


def body_hash(arrays: dict[str, np.ndarray]) -> str:
    """Return the sha256 that identifies a (neutral) body model, since betas fit one body model only."""
    digest, own = hashlib.sha256(), body_of(arrays, "neutral")
    own.pop("h36m_regressor", None)  # it measures bodies; it makes none
    for key in sorted(own):
        digest.update(np.ascontiguousarray(own[key]).tobytes())
    return digest.hexdigest()


def _levels() -> list[list[int]]:
    depth = [0]
    for parent in PARENTS[1:]:
        depth.append(depth[parent] + 1)
    return [[j for j in range(len(PARENTS)) if depth[j] == d] for d in range(max(depth) + 1)]


class BodyModel(nn.Module):
    """A body in SMPL layout: 6890 vertices, 24 joints, 10 betas.

    The model is the neutral body; `genders` holds the bodies of the genders, if the file has them.
    Calling the model runs `smplx`. `vertices` and `joints` give the same numbers (within 1e-6 m) faster:
    the blend shapes are one matrix product, and the skinning works on (B, 3, V) in chunks that fit the
    cache of a core.
    """

    genders: nn.ModuleDict
    faces: Tensor
    lbs_weights: Tensor
    parts: Tensor
    _template: Tensor
    _directions: Tensor
    _weights: Tensor
    _joint_template: Tensor
    _joint_directions: Tensor
    _keypoint_regressor: Tensor
    _h36m_regressor: Tensor | None

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.sha256 = body_hash(arrays)
        self._arrays = arrays
        self.reference = smplx_model(arrays)
        own = {gender: BodyModel(body_of(arrays, gender)) for gender in genders_in(arrays)}
        self.genders = nn.ModuleDict(own)
        template = torch.from_numpy(arrays["v_template"])
        shapes = torch.from_numpy(arrays["shapedirs"])
        poses = torch.from_numpy(arrays["posedirs"])
        weights = torch.from_numpy(arrays["weights"])
        keypoints = arrays.get("keypoint_regressor")
        keypoints = keypoint_regressor(arrays) if keypoints is None else keypoints
        # without BLAS: the sums over all vertices do not depend on the number of threads
        moved = np.concatenate([arrays["v_template"][..., None], arrays["shapedirs"]], 2)
        sums = np.einsum("jv,vck->kjc", arrays["J_regressor"], moved, dtype=np.float64)
        joints = torch.from_numpy(sums).to(template.dtype)
        directions = torch.cat([shapes, poses], 2).permute(2, 1, 0)
        buffers = {
            "faces": torch.from_numpy(arrays["f"]),
            "lbs_weights": weights,
            "parts": vertex_parts(weights),
            "_template": template.T.reshape(-1).contiguous(),
            "_directions": directions.reshape(directions.shape[0], -1).contiguous(),
            "_weights": weights.T.contiguous(),
            "_joint_template": joints[0].clone(),
            "_joint_directions": joints[1:].clone(),
            "_keypoint_regressor": torch.from_numpy(keypoints).to(template.dtype),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)
        h36m = arrays.get("h36m_regressor")
        own_h36m = None if h36m is None else torch.from_numpy(h36m).to(template.dtype)
        self.register_buffer("_h36m_regressor", own_h36m)
        self._levels = _levels()

    @staticmethod
    def load(path: Path) -> "BodyModel":
        """Return the body model in a file; raises InputError (see `read_body`)."""
        return BodyModel(read_body(path))

    def double_precision(self) -> "BodyModel":
        """Return the same body in float64, on the same device."""
        floats = {k: v.astype(np.float64) for k, v in self._arrays.items() if v.dtype.kind == "f"}
        body = BodyModel({**self._arrays, **floats}).to(self.faces.device)
        body.sha256 = self.sha256
        return body

    def forward(self, params: BodyParams) -> SMPLOutput:
        """Return what `smplx.SMPL` returns: vertices, 45 joints (m)."""
        return self.reference(
            betas=params.betas,
            body_pose=params.rotmats[:, 1:],
            global_orient=params.rotmats[:, :1],
            pose2rot=False,
        )

    def vertices(self, params: BodyParams) -> Float[Tensor, "b v 3"]:
        """Return the posed vertices (m)."""
        return self.vertices_by_axis(params).transpose(1, 2)

    def vertices_by_axis(self, params: BodyParams) -> Float[Tensor, "b 3 v"]:
        """Return the posed vertices (m) with the axis before the vertex."""
        return self._posed(params, self._weights, self._template, self._directions)

    def joints(self, params: BodyParams) -> Float[Tensor, "b 24 3"]:
        """Return the 24 joints of the skeleton (m) without making a vertex."""
        return self.skeleton(params)[1]

    def keypoints(self, vertices: Float[Tensor, "b v 3"]) -> Float[Tensor, "b 24 3"]:
        """Return the annotated joints J24 (m) of posed vertices: J = J V^T (section 3.1)."""
        return self._keypoint_regressor @ vertices

    @property
    def has_h36m(self) -> bool:
        """Return whether the model file holds J_regressor_h36m (`pmnet body import --h36m`)."""
        return self._h36m_regressor is not None

    def h36m_joints(self, vertices: Float[Tensor, "b v 3"]) -> Float[Tensor, "b 17 3"]:
        """Return the joints of Human3.6M (m) of posed vertices, in the order of `keypoints.H36M`.

        They are what MPJPE is measured on, and differ from J24, which networks are trained on. Raises
        InputError where the model file has no regressor for them.
        """
        if self._h36m_regressor is None:
            raise InputError(f"the body model has no J_regressor_h36m; {H36M_CURE}")
        return self._h36m_regressor @ vertices

    def keypoints_of(self, params: BodyParams) -> Float[Tensor, "b 24 3"]:
        """Return the annotated joints J24 (m) of bodies, posing only the vertices that they are made of."""
        used = (self._keypoint_regressor != 0).any(0).nonzero()[:, 0]
        template, directions = (rest[..., used].flatten(-2) for rest in self.rest_shape())
        vertices = self._posed(params, self._weights[:, used], template, directions)
        return self._keypoint_regressor[:, used] @ vertices.transpose(1, 2)

    def _posed(
        self,
        params: BodyParams,
        weights: Float[Tensor, "24 v"],
        template: Float[Tensor, "3*v"],
        directions: Float[Tensor, "f 3*v"],
    ) -> Float[Tensor, "b 3 v"]:
        """Return some vertices (m) of posed bodies, made chunk by chunk."""
        chunk = CPU_CHUNK * len(self.parts) // max(weights.shape[1], 1)
        size = chunk if params.betas.device.type == "cpu" else max(len(params), 1)
        starts = range(0, len(params), size) or range(1)
        parts = (params[slice(start, start + size)] for start in starts)
        return torch.cat([self._skin(part, weights, template, directions) for part in parts])

    def _skin(
        self, params: BodyParams, weights: Tensor, template: Tensor, directions: Tensor
    ) -> Float[Tensor, "b 3 v"]:
        b, vertices = len(params), weights.shape[1]
        shaped = torch.addmm(template, self.features(params), directions)
        x, y, z = shaped.view(b, 1, 3, vertices).unbind(2)
        transforms = self.transforms(params).flatten(2).transpose(1, 2)
        per_vertex = (transforms.reshape(b * 12, 24) @ weights).view(b, 3, 4, vertices)
        return (
            per_vertex[:, :, 3]
            + per_vertex[:, :, 0] * x
            + per_vertex[:, :, 1] * y
            + per_vertex[:, :, 2] * z
        )

    def rest_shape(self) -> tuple[Float[Tensor, "3 v"], Float[Tensor, "217 3 v"]]:
        """Return the unposed mean body (m) and the offsets (m) that each of the `features` adds."""
        vertices = len(self.parts)
        return self._template.view(3, vertices), self._directions.view(-1, 3, vertices)

    def features(self, params: BodyParams) -> Float[Tensor, "b 217"]:
        """Return the blend features of bodies: 10 betas, and R - I of the 23 body joints."""
        turned = params.rotmats[:, 1:] - torch.eye(
            3, dtype=params.betas.dtype, device=params.betas.device
        )
        return torch.cat([params.betas, turned.reshape(len(params), 207)], 1)

    def rest_joints(self, betas: Float[Tensor, "b 10"]) -> Float[Tensor, "b 24 3"]:
        """Return the joints (m) of unposed bodies with these shapes."""
        return self._joint_template + torch.einsum("bk,kjc->bjc", betas, self._joint_directions)

    def transforms(self, params: BodyParams) -> Float[Tensor, "b 24 3 4"]:
        """Return the transforms (R, p - R J) by which joints move their vertices, in m.

        R and p are the world rotations and positions of the joints, J the joints of the unposed bodies.
        """
        rotations, joints = self.skeleton(params)
        rest = self.rest_joints(params.betas)
        shifts = joints - (rotations @ rest[..., None])[..., 0]
        return torch.cat([rotations, shifts[..., None]], -1)

    def skeleton(
        self, params: BodyParams
    ) -> tuple[Float[Tensor, "b 24 3 3"], Float[Tensor, "b 24 3"]]:
        """Return world rotations and positions of the joints, one level of the tree at a time."""
        rest, own = self.rest_joints(params.betas).unbind(1), params.rotmats.unbind(1)
        rotations: dict[int, Tensor] = {0: own[0]}
        positions: dict[int, Tensor] = {0: rest[0]}
        for level in self._levels[1:]:
            parents = [PARENTS[j] for j in level]
            above = torch.stack([rotations[p] for p in parents], 1)
            bones = torch.stack([rest[j] for j in level], 1) - torch.stack(
                [rest[p] for p in parents], 1
            )
            ends = (
                torch.stack([positions[p] for p in parents], 1) + (above @ bones[..., None])[..., 0]
            )
            turned = above @ torch.stack([own[j] for j in level], 1)
            rotations.update(zip(level, turned.unbind(1), strict=True))
            positions.update(zip(level, ends.unbind(1), strict=True))
        order = range(len(PARENTS))
        return (
            torch.stack([rotations[j] for j in order], 1),
            torch.stack([positions[j] for j in order], 1),
        )
