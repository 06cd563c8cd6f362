"""AMASS: a folder of npz clips (SMPL-H poses, world z up), seen by virtual cameras.

Layout: SUBJECT/CLIP.npz at any depth, the folder above the clip being the subject. Keys: `poses`
(T, 156 or 72) rotation vectors in rad, of which the first 66 are used (hands stay at rest); `betas`;
`mocap_framerate` (Hz) or `mocap_frame_rate`; `frame` where frames were dropped before.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import mirror_rotvecs
from pmnet.camera import View
from pmnet.datasets._posed import posed_samples
from pmnet.errors import InputError
from pmnet.files import read_npz
from pmnet.progress import track
from pmnet.rotations import axis_rotation
from pmnet.samples import About, Samples

KEYS = ("poses", "betas", "mocap_framerate", "mocap_frame_rate")
USED = 66  # the root and the 21 joints that SMPL and SMPL-H share


@dataclass(frozen=True)
class Options:
    """Which clips and frames are taken, and how they are seen.

    `subjects` keeps only those (empty: all); `framerate_hz` thins faster clips (0: every frame);
    `min_change_deg` drops a frame whose joints all turned less since the last one kept;
    `max_samples` keeps a random subset (0: all); `betas` takes those of the file or draws them;
    `mirrored` adds each pose mirrored left to right; every pose is seen `views` times.
    """

    subjects: list[str] | None
    framerate_hz: float
    min_change_deg: float
    max_samples: int
    mirrored: bool
    views: int
    betas: Literal["file", "drawn"]
    betas_spread: float
    view: View
    seed: int


@dataclass(frozen=True)
class Clip:
    """The frames taken from one npz file."""

    subject: str
    name: str
    rotvecs: Float[Tensor, "t 24 3"]
    betas: Float[Tensor, "10"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the poses of all clips under `source`, put into camera frames.

    Raises InputError where there is no clip, a wanted subject is missing or a clip is broken.
    """
    generator = torch.Generator().manual_seed(options.seed)
    clips = [
        read_clip(path, source, options)
        for path in track(find_clips(source, options.subjects), f"{name}: reading clips")
    ]
    rotvecs = torch.cat([clip.rotvecs for clip in clips])
    betas = torch.cat([clip.betas.expand(len(clip.rotvecs), -1) for clip in clips])
    origin = torch.arange(len(clips)).repeat_interleave(
        torch.tensor([len(clip.rotvecs) for clip in clips])
    )
    if 0 < options.max_samples < len(rotvecs):
        rows = torch.randperm(len(rotvecs), generator=generator)[: options.max_samples].sort()[0]
        rotvecs, betas, origin = rotvecs[rows], betas[rows], origin[rows]
    upright = BodyParams.from_rotvecs(rotvecs, betas)
    z_up_to_y_up = axis_rotation(0, torch.full((1,), -math.pi / 2))
    upright.rotmats[:, 0] = z_up_to_y_up @ upright.rotmats[:, 0]
    if options.mirrored:
        mirror = BodyParams.from_rotvecs(mirror_rotvecs(upright.rotvecs()), betas)
        upright, origin = BodyParams.cat([upright, mirror]), origin.repeat(2)
    rows = torch.arange(len(upright)).repeat(options.views)
    upright, origin = upright[rows], origin[rows]
    if options.betas == "drawn":
        drawn = torch.randn(len(upright), 10, generator=generator) * options.betas_spread
        upright = BodyParams(upright.rotmats, drawn.clamp(-3, 3))
    about = About(dataset=name, joints="smpl24", pixels="render", body=body.sha256)
    subject = [clips[row].subject for row in origin.tolist()]
    sequence = [clips[row].name for row in origin.tolist()]
    return posed_samples(about, upright, options.view, body, generator, subject, sequence)


def find_clips(source: Path, subjects: list[str] | None) -> list[Path]:
    """Return the clips of the wanted subjects in a fixed order; see `read` for the errors."""
    paths = sorted(path for path in source.rglob("*.npz") if path.name != "shape.npz")
    if not paths:
        raise InputError(
            f"{source}: no .npz clips below it; expected AMASS's SUBJECT/CLIP_poses.npz"
        )
    if subjects is None:
        return paths
    if missing := set(subjects) - {path.parent.name for path in paths}:
        raise InputError(f"{source}: no clips of subject {', '.join(sorted(missing))}")
    return [path for path in paths if path.parent.name in subjects]


def read_clip(path: Path, source: Path, options: Options) -> Clip:
    """Return the thinned frames of one clip; raises InputError naming the file and the key."""
    values = read_npz(path, KEYS)
    poses = values.get("poses")
    if poses is None:
        raise InputError(f"{path}: key 'poses' is missing; found {', '.join(values) or 'nothing'}")
    if poses.ndim != 2 or poses.shape[1] < USED or not np.issubdtype(poses.dtype, np.floating):
        raise InputError(
            f"{path}: 'poses' is {poses.dtype} {poses.shape}; expected (frames, 156) or (frames, 72) of "
            "rotation vectors in rad"
        )
    bad = ~np.isfinite(poses[:, :USED]).all(1)
    if bad.any():
        raise InputError(
            f"{path}: 'poses' row {int(bad.argmax())} is NaN or infinite ({int(bad.sum())} rows); "
            "remove the clip or mend it"
        )
    rotvecs = torch.zeros(len(poses), 24, 3)
    rotvecs[:, : USED // 3] = torch.from_numpy(poses[:, :USED].astype(np.float32)).view(-1, 22, 3)
    kept = _thin(rotvecs, _step(path, values, options.framerate_hz), options.min_change_deg)
    name = path.relative_to(source).with_suffix("").as_posix()
    return Clip(path.parent.name, name, rotvecs[kept], _betas(path, values, options))


def _betas(path: Path, values: dict[str, np.ndarray], options: Options) -> Float[Tensor, "10"]:
    if options.betas == "drawn":
        return torch.zeros(10)
    betas = values.get("betas")
    if (
        not _are_numbers(betas)
        or betas.ndim != 1
        or len(betas) < 10
        or not np.isfinite(betas[:10]).all()
    ):
        raise InputError(
            f"{path}: 'betas' must be at least 10 finite numbers; or set options.betas to drawn"
        )
    return torch.from_numpy(betas[:10].astype(np.float32))


def _step(path: Path, values: dict[str, np.ndarray], wanted_hz: float) -> int:
    if wanted_hz <= 0:
        return 1
    rate = values.get("mocap_framerate", values.get("mocap_frame_rate"))
    if not _are_numbers(rate) or rate.size != 1 or not float(rate.reshape(())) > 0:
        raise InputError(
            f"{path}: 'mocap_framerate' is missing or no rate; set options.framerate_hz to 0 to "
            "take every frame"
        )
    return max(1, round(float(rate.reshape(())) / wanted_hz))


def _thin(rotvecs: Float[Tensor, "t 24 3"], step: int, min_change_deg: float) -> list[int]:
    frames = list(range(0, len(rotvecs), step))
    if min_change_deg <= 0:
        return frames
    rotmats = BodyParams.from_rotvecs(rotvecs, torch.zeros(len(rotvecs), 10)).rotmats
    kept = frames[:1]
    for frame in frames[1:]:
        trace = (rotmats[kept[-1]] * rotmats[frame]).sum((-1, -2))
        change = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).arccos())
        if change.max() >= min_change_deg:
            kept.append(frame)
    return kept


def _are_numbers(array: np.ndarray | None) -> TypeGuard[np.ndarray]:
    return array is not None and array.dtype.kind in "fiu"
