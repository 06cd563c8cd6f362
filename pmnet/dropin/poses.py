"""Poses out of any file that pmnet can read: for `pmnet memory build`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet import datasets
from pmnet.body import BodyModel, BodyParams
from pmnet.body.rotations import rotmat_to_rotvec
from pmnet.check.dataset_report import find_all
from pmnet.clustering.build import DEFAULT_CAMERA, mean_camera
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.data.samples import LARGEST, Samples
from pmnet.datasets import Dataset
from pmnet.formats.arrays import array, finite
from pmnet.formats.npz import npz_keys, read_npz

OWN: Final = ("pose", "betas", "body")
WIDTHS: Final = ((72,), (24, 3), (24, 3, 3))
SKEW: Final = 0.01  # of the columns of a rotation matrix
MAX_TURN: Final = 7.0  # rad: more than a full turn, most likely degrees


@dataclass(frozen=True)
class GivenPoses:
    """Bodies in the camera frame, and their mean camera (s, tx, ty)."""

    params: BodyParams
    camera: Float[Tensor, "3"]


def read_poses(paths: list[Path], body: BodyModel, adapter: str = "") -> GivenPoses:
    """Return the bodies in files and folders: samples (.arrow), an npz of poses, or what an adapter reads.

    An npz of poses has `pose`, (N, 72) or (N, 24, 3) rad or (N, 24, 3, 3), the root in the camera frame (x
    right, y down), and `betas` (N, 10) if you like; predictions.npz is one. Clips without a camera (AMASS)
    are seen by virtual cameras, as `pmnet check` suggests. Of what is below a folder, `adapter` may choose
    one kind. Raises InputError where nothing can be read, or where a file belongs to another body model.
    """
    bodies, cameras = list[BodyParams](), list[tuple[int, Tensor]]()
    for path in paths:
        for where, params, camera in _from(path, body, adapter):
            say(f"{where}: {len(params)} bodies")
            bodies.append(params)
            if camera is not None:
                cameras.append((len(params), camera))
    known = sum(count for count, _ in cameras)
    weighted = [count / known * camera for count, camera in cameras]
    mean = torch.stack(weighted).sum(0) if weighted else torch.tensor(DEFAULT_CAMERA)
    return GivenPoses(BodyParams.cat(bodies), mean)


def _from(
    path: Path, body: BodyModel, adapter: str
) -> Iterator[tuple[str, BodyParams, Tensor | None]]:
    if path.suffix == ".arrow":
        yield _of_samples(str(path), Samples.load(path), body)
        return
    if path.suffix == ".npz" and "pose" in npz_keys(path):
        yield str(path), _own(path, body), None
        return
    found = [one for one in find_all(path) if adapter in ("", one.adapter)]
    if not found:
        raise InputError(
            f"{path}: no poses that pmnet can read; expected samples (.arrow), an npz with 'pose', or what "
            f"`pmnet check {path}` recognises" + f" as {adapter}" * bool(adapter)
        )
    for number, one in enumerate(found):
        entry = Dataset(one.adapter, one.split, one.source, one.options)
        samples = datasets.read(f"poses_{number}", entry, body, str(one.source))
        yield _of_samples(f"{one.source} ({one.adapter})", samples, body)


def _of_samples(
    where: str, samples: Samples, body: BodyModel
) -> tuple[str, BodyParams, Tensor | None]:
    if samples.about.body != body.sha256:
        raise InputError(f"{where}: made with another body model; give --body, the one it has")
    rows = samples.has_smpl.nonzero()[:, 0]
    if not len(rows):
        raise InputError(f"{where}: has no bodies (SMPL parameters), only joints; give poses")
    part = samples.select(rows)
    return where, part.body_params(), mean_camera(part, body)


def _own(path: Path, body: BodyModel) -> BodyParams:
    values = read_npz(path, OWN)
    given = np.asarray(values["pose"])
    shape = next((w for w in WIDTHS if given.shape[1:] == w), None)
    if shape is None:
        raise InputError(
            f"{path}: 'pose' is of shape {given.shape}; expected (N, 72), (N, 24, 3) or (N, 24, 3, 3)"
        )
    pose = finite(path, "pose", array(path, values, "pose", (None, *shape)))
    rotvecs = torch.from_numpy(pose).float()
    if len(shape) == 3:
        skew = (rotvecs.mT @ rotvecs - torch.eye(3)).abs().amax((1, 2, 3))
        if (wrong := skew > SKEW).any():
            row = int(wrong.nonzero()[0])
            raise InputError(f"{path}: 'pose' row {row} holds no rotation matrices")
        rotvecs = rotmat_to_rotvec(rotvecs)
    rotvecs = rotvecs.reshape(-1, 24, 3)
    turns = rotvecs.norm(dim=2).amax(1)
    if (turns > MAX_TURN).any():
        row = int(turns.argmax())
        raise InputError(
            f"{path}: 'pose' row {row} turns a joint by {turns[row]:g} rad; these look like degrees: "
            "multiply by pi / 180"
        )
    if "body" in values and str(values["body"]) != body.sha256:
        raise InputError(f"{path}: made with another body model; give --body, the one it has")
    betas = torch.zeros(len(rotvecs), 10)
    if "betas" in values:
        own = finite(path, "betas", array(path, values, "betas", (len(rotvecs), 10)))
        if np.abs(own).max(initial=0) > LARGEST:
            raise InputError(f"{path}: 'betas' are beyond {LARGEST:g}; expected SMPL's")
        betas = torch.from_numpy(own).float()
    return BodyParams.from_rotvecs(rotvecs, betas)
