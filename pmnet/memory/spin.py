"""SPIN's mean body, smpl_mean_params.npz, as a memory of one prototype (or, with K rows, of K).

Keys: `pose` (144,), 24 rotations in 6D with interleaved columns, the root turned by half a turn about x;
`shape` (10,); `cam` (3,) = (s, tx, ty), applied as s (X + tx). `PrototypeMemory.export_spin` writes the same.
"""

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import SPIN_DATA
from pmnet.body.rotations import rot6d_to_rotmat
from pmnet.core.errors import InputError
from pmnet.formats.npz import npz_keys, read_npz
from pmnet.memory.prototypes import PrototypeMemory

KEYS: Final = ("pose", "shape", "cam")
WIDTHS: Final = {"pose": 144, "shape": 10, "cam": 3}
MAX_SKEW: Final = 0.01  # of two columns of a rotation: their lengths from 1, their product from 0
SOURCE: Final = f"SPIN's mean body is smpl_mean_params.npz in {SPIN_DATA}"


def import_spin(path: Path, body: BodyModel) -> PrototypeMemory:
    """Return the bodies of smpl_mean_params.npz as a memory that assigns no training sample.

    Raises InputError where the file is missing or broken, or where its rotations are no rotations: some
    copies hold the columns one after the other.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; {SOURCE}")
    rows = {key: _rows(path, key, values) for key, values in read_npz(path, KEYS).items()}
    if missing := set(KEYS) - set(rows):
        raise InputError(f"{path}: has no {', '.join(sorted(missing))}; {SOURCE}")
    if len({len(values) for values in rows.values()}) > 1:
        raise InputError(f"{path}: pose, shape and cam have different numbers of rows; {SOURCE}")
    camera = rows["cam"].mean(0)
    k = len(rows["pose"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = {"space": "vertex", "weights": "flat", "k": k, "limb_weight": 1.0}
    return PrototypeMemory(
        prototypes=BodyParams(_rotmats(path, rows["pose"]), rows["shape"]),
        assignments=torch.empty(0, dtype=torch.long),
        distances=torch.empty(0),
        vertex_weights=torch.ones(len(body.parts)),
        camera=torch.cat([camera[:1], camera[:1] * camera[1:]]),
        body=body.sha256,
        settings=settings | {"max_iterations": 0, "imported": path.name, "sha256": digest},
    )


def _rows(path: Path, key: str, values: np.ndarray) -> Float[Tensor, "k _"]:
    """Return the rows of a key; SPIN's file has one, without an axis for it."""
    width = WIDTHS[key]
    rows = np.asarray(values)
    rows = rows[None] if rows.ndim == 1 else rows
    known = rows.dtype.kind == "f" and rows.ndim == 2 and len(rows) and rows.shape[1] == width
    if not known or not np.isfinite(rows).all():
        raise InputError(
            f"{path}: {key!r} is {rows.dtype} {np.shape(values)}; expected {width} finite numbers "
            f"(or K x {width}); {SOURCE}"
        )
    return torch.from_numpy(rows.astype(np.float32))


def _rotmats(path: Path, pose: Float[Tensor, "k 144"]) -> Float[Tensor, "k 24 3 3"]:
    columns = pose.view(-1, 24, 3, 2)
    skew = (columns.mT @ columns - torch.eye(2)).abs().amax((1, 2, 3))
    if (skew > MAX_SKEW).any():
        raise InputError(
            f"{path}: 'pose' row {int(skew.argmax())} holds no rotations; expected 24 x 6 numbers in "
            "SPIN's order (r00, r01, r10, r11, r20, r21)"
        )
    return rot6d_to_rotmat(pose.view(-1, 24, 6))


def read_mean(path: Path, body: BodyModel, where: str) -> BodyParams:
    """Return the one body of a memory with one prototype, or of SPIN's smpl_mean_params.npz.

    `where` names the parameter in errors. Raises InputError where the file is missing or holds something
    else, or a memory of another body model.
    """
    memory = read_memory(path, body, where)
    if len(memory) != 1:
        raise InputError(f"{where}: {path} holds {len(memory)} prototypes; expected one")
    return memory.prototypes


def read_memory(path: Path, body: BodyModel, where: str) -> PrototypeMemory:
    """Return a memory from its own file or from SPIN's smpl_mean_params.npz.

    `where` names the parameter in errors. Raises InputError where the file is missing or broken, or a memory
    of another body model.
    """
    if not path.is_file():
        raise InputError(
            f"{where}: {path}: no such file; {SOURCE}, and `dvc repro cluster@single` makes "
            "runs/single/memory.npz"
        )
    spin = npz_keys(path) >= set(KEYS)
    memory = import_spin(path, body) if spin else PrototypeMemory.load(path)
    if memory.body != body.sha256:
        raise InputError(f"{path}: made with another body model than the given one; make it again")
    return memory
