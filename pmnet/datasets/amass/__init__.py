"""AMASS: a folder of motion capture clips (world z up), seen by virtual cameras.

Layout: SUBJECT/CLIP.npz or .pkl at any depth; the subject is the folder above the clip. `clips.py` lists
the files of AMASS, MoSh, MoSh++ and neutrMosh that are read. Hands stay at rest. The `betas` of SMPL-X
belong to another shape space than SMPL's: draw them (options.betas) for clips of SMPL-X.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import View
from pmnet.body.parts import MIRRORED_JOINTS, mirror_rotmats
from pmnet.body.rotations import axis_rotation
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.core.ranges import Amount, Angle, Count, Names, Seed, Weight
from pmnet.data.samples import About, Samples
from pmnet.datasets._shared.discovery import Found, left_out
from pmnet.datasets._shared.posed import posed_samples
from pmnet.datasets.amass.clips import (
    NEUTR_MOSH,
    USED,
    ClipMotion,
    clip_files,
    clip_folders,
    read_motion,
)
from pmnet.datasets.amass.fitted import COLUMNS as FIT_COLUMNS
from pmnet.datasets.amass.fitted import ClipFit, FittedSamples, unknown_fit

LAYOUT: Final = "expected AMASS's SUBJECT/CLIP_poses.npz, or MoSh++'s CLIP_stageii.npz or .pkl"
SMPLX_BETAS: Final = "clips with betas of SMPL-X"


@dataclass(frozen=True)
class Options:
    """Which clips and frames are taken, and how they are seen.

    `subjects` are the subjects to keep (null: all); `framerate_hz` thins faster clips (0: every frame);
    `min_change_deg` drops a frame in which no joint turned this far since the last frame that was kept;
    `max_samples` keeps a random subset (0: all); `betas` are taken from the file or drawn; `mirrored`
    adds each pose mirrored left to right; each pose is seen by `views` cameras.
    """

    subjects: Names | None
    framerate_hz: Weight
    min_change_deg: Angle
    max_samples: Amount
    mirrored: bool
    views: Count
    betas: Literal["file", "drawn"]
    betas_spread: Weight
    view: View
    seed: Seed


@dataclass(frozen=True)
class Clip:
    """The frames taken from one file."""

    subject: str
    name: str
    rotvecs: Float[Tensor, "t 24 3"]
    betas: Float[Tensor, "10"]
    gender: str
    surface_model: str
    fit: ClipFit | None = None


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the poses of all clips under `source`, put into camera frames.

    Raises InputError where no clip is found, a wanted subject is missing or a clip is broken.
    """
    generator = torch.Generator().manual_seed(options.seed)
    clips, foreign = list[Clip](), list[Path]()
    for path in track(find_clips(source, options.subjects), f"{name}: reading clips"):
        if clip := read_clip(path, source, options):
            clips.append(clip)
            _check_body(path, clip, options, body)
        else:
            foreign.append(path)
    if not clips:
        raise InputError(
            f"{source}: none of its {len(foreign)} files is a clip, as {foreign[0]}; {LAYOUT}"
        )
    rotvecs = torch.cat([clip.rotvecs for clip in clips])
    betas = torch.cat([clip.betas.expand(len(clip.rotvecs), -1) for clip in clips])
    origin = torch.arange(len(clips)).repeat_interleave(
        torch.tensor([len(clip.rotvecs) for clip in clips])
    )
    frames = torch.arange(len(rotvecs))
    if 0 < options.max_samples < len(rotvecs):
        frames = torch.randperm(len(rotvecs), generator=generator)[: options.max_samples].sort()[0]
        rotvecs, betas, origin = rotvecs[frames], betas[frames], origin[frames]
    upright = BodyParams.from_rotvecs(rotvecs, betas)
    z_up_to_y_up = axis_rotation(0, torch.full((1,), -math.pi / 2))
    upright.rotmats[:, 0] = z_up_to_y_up @ upright.rotmats[:, 0]
    if options.mirrored:
        mirror = BodyParams(mirror_rotmats(upright.rotmats), betas)
        upright, origin = BodyParams.cat([upright, mirror]), origin.repeat(2)
    rows = torch.arange(len(upright)).repeat(options.views)
    upright, origin = upright[rows], origin[rows]
    if options.betas == "drawn":
        drawn = torch.randn(len(upright), 10, generator=generator) * options.betas_spread
        upright = BodyParams(upright.rotmats, drawn.clamp(-3, 3))
    counts = {"clips": len(clips)}
    counts |= left_out(foreign)
    if options.betas == "file":
        counts[SMPLX_BETAS] = sum(clip.surface_model.startswith("smplx") for clip in clips)
    about = About(name, joints="smpl24", pixels="render", body=body.sha256, counts=counts)
    seen = [clips[row] for row in origin.tolist()]
    columns = ([getattr(clip, key) for clip in seen] for key in ("subject", "name", "gender"))
    samples = posed_samples(about, upright, options.view, body, generator, *columns)
    if not any(clip.fit for clip in clips):
        return samples
    counts |= _fit_counts(clips)
    return _with_fits(samples, clips, frames, options)


def _fit_counts(clips: Sequence[Clip]) -> dict[str, int]:
    fits = [clip.fit for clip in clips if clip.fit is not None]
    return {
        "frames left out: too few points for a fit": sum(fit.unfitted for fit in fits),
        "frames whose fit did not settle": sum(int((~fit.converged).sum()) for fit in fits),
        "points that had another's label": sum(fit.swapped for fit in fits),
        "points dropped, far from their places": sum(fit.dropped for fit in fits),
    }


def _with_fits(
    samples: Samples, clips: Sequence[Clip], frames: Int[Tensor, "f"], options: Options
) -> FittedSamples:
    """Return samples with how good the fits of their frames are; clips that pmnet has not fitted have NaN."""
    fits = [clip.fit or unknown_fit(len(clip.rotvecs)) for clip in clips]
    quality: dict[str, Any] = {
        name: torch.from_numpy(np.concatenate([getattr(fit, name) for fit in fits]))[frames]
        for name in FIT_COLUMNS
    }
    if options.mirrored:
        sides = list(MIRRORED_JOINTS)
        quality = {
            name: torch.cat([values, values[:, sides] if values.ndim == 2 else values])
            for name, values in quality.items()
        }
    seen: dict[str, Any] = {
        name: values.repeat(options.views, *[1] * (values.ndim - 1))
        for name, values in quality.items()
    }
    return FittedSamples(**vars(samples), **seen)


def find_clips(source: Path, subjects: list[str] | None) -> list[Path]:
    """Return the clips of the wanted subjects in a fixed order; see `read` for the errors."""
    paths = clip_files(source)
    if not paths:
        raise InputError(f"{source}: no .npz clips below it; {LAYOUT}")
    if subjects is None:
        return paths
    if missing := set(subjects) - {path.parent.name for path in paths}:
        raise InputError(f"{source}: no clips of subject {', '.join(sorted(missing))}")
    return [path for path in paths if path.parent.name in subjects]


def read_clip(path: Path, source: Path, options: Options) -> Clip | None:
    """Return the thinned frames of one clip, None for a foreign file; InputError names file and key."""
    motion = read_motion(path)
    if motion is None:
        return None
    folder = source.parent if source.is_file() else source
    rotvecs = torch.zeros(len(motion.poses), 24, 3)
    rotvecs[:, : USED // 3] = torch.from_numpy(motion.poses.astype(np.float32)).view(-1, 22, 3)
    kept = _thin(rotvecs, _step(path, motion.rate_hz, options.framerate_hz), options.min_change_deg)
    fit = motion.fit
    if fit is not None:
        kept = [frame for frame in kept if fit.fitted[frame]]
    return Clip(
        subject=path.parent.name,
        name=path.relative_to(folder).with_suffix("").as_posix(),
        rotvecs=rotvecs[kept],
        betas=_betas(path, motion, options),
        gender=motion.gender if options.betas == "file" else "neutral",
        surface_model=motion.surface_model,
        fit=None if fit is None else fit[kept],
    )


def _check_body(path: Path, clip: Clip, options: Options, body: BodyModel) -> None:
    if options.betas == "file" and clip.fit is not None and clip.fit.body != body.sha256:
        raise InputError(
            f"{path}: was fitted with another body model, whose betas mean another shape; fit it again with "
            "this one, or set options.betas to drawn"
        )


def _betas(path: Path, motion: ClipMotion, options: Options) -> Float[Tensor, "10"]:
    if options.betas == "drawn":
        return torch.zeros(10)
    betas = motion.betas
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


def _step(path: Path, rate: Any, wanted_hz: float) -> int:
    if wanted_hz <= 0:
        return 1
    rate = np.asarray(np.nan if rate is None else rate)
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


def _are_numbers(value: Any) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def find(root: Path) -> list[Found]:
    """Return the folders of SUBJECT/CLIP below `root` that hold motion capture."""
    return [_found(folder) for folder in clip_folders(root)]


def _found(folder: Path) -> Found:
    no_rate = folder.name in NEUTR_MOSH
    view = View(45.0, 0.5, 10.0, 4.0, margin=0.85, margin_spread=0.05, shift=0.05)
    options = Options(
        subjects=None,
        framerate_hz=0.0 if no_rate else 10.0,
        min_change_deg=0.0,
        max_samples=100_000 if no_rate else 0,
        mirrored=True,
        views=1,
        betas="drawn",  # the betas of the clips belong to SMPL, not to the open body
        betas_spread=0.5,
        view=view,
        seed=11,
    )
    layout = "clips of neutrMosh" if no_rate else "clips of AMASS or MoSh++"
    return Found("amass", layout, folder, "train", asdict(options))
