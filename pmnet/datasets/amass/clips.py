"""Motion capture clips of AMASS, MoSh and MoSh++ as arrays, whatever the layout of their files.

- AMASS npz: `poses` (T, 156) of SMPL-H or (T, 72), `betas`, `gender`, `mocap_framerate`;
- MoSh++ stage ii npz: the same with `mocap_frame_rate`, `surface_model_type`, and `poses` (T, 165) for
  SMPL-X; without `poses`, `root_orient` (T, 3) and `pose_body` (T, 63);
- MoSh++ stage ii pickle: `fullpose`, `betas`, `stageii_debug_details` {`mocap_frame_rate`, `cfg`
  {`surface_model` {`gender`, `type`}}}; `cfg` is a dict, or the OmegaConf that MoSh++ itself writes;
- MoSh pickle: `pose_est_fullposes` (T, 156 or 165), `shape_est_betas`, `mocap_framerate`, `ps` {`gender`};
- what `pmnet fit` writes: AMASS's layout, and how good the fits are (`fitted.py`);
- neutrMosh pickle, neutrSMPL_CMU/01/01_01.pkl: `poses` or `new_poses` (T, 72) of SMPL, `betas` of the
  neutral body, no frame rate.

The first 66 numbers of all of them are the root and the 21 joints that SMPL, SMPL-H and SMPL-X share.
The world's z is up. neutrMosh does not document its axes: `pmnet check` shows whether people stand upright.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.datasets._shared.discovery import ALIGNED, files_below
from pmnet.datasets._shared.units import GENDERS
from pmnet.datasets.amass.fitted import KEYS as FIT_KEYS
from pmnet.datasets.amass.fitted import ClipFit, clip_fit
from pmnet.formats.kinds import is_damaged
from pmnet.formats.npz import npz_keys, read_npz
from pmnet.formats.pickles import read_pickle

POSES: Final = {"poses", "root_orient", "fullpose", "new_poses", "pose_est_fullposes"}
USED: Final = 66  # the root and the 21 joints that SMPL, SMPL-H and SMPL-X share
BODY: Final = 63
KEYS: Final = (
    *("poses", "root_orient", "pose_body", "betas", "gender", "surface_model_type"),
    *("mocap_framerate", "mocap_frame_rate"),
)
PICKLED: Final = {
    *("fullpose", "pose_est_fullposes", "poses", "new_poses", "betas", "shape_est_betas"),
    *("mocap_framerate", "mocap_frame_rate", "ps", "stageii_debug_details"),
}
OBJECTS: Final = {"ps", "stageii_debug_details"}  # may hold objects of MoSh's own classes
SHAPE_FILES: Final = ("shape.npz", "stagei.npz", "stagei.pkl")  # one per subject, beside the clips

NEUTR_MOSH: Final = ("neutrSMPL_CMU", "neutrSMPL_jointLim")  # folders of SUBJECT/CLIP.pkl
NAMES: Final = ("_poses.npz", "_stageii.npz", "_stageii.pkl", "_stageII.npz", "_stageII.pkl")
RATES: Final = {"mocap_framerate", "mocap_frame_rate"}


@dataclass(frozen=True)
class ClipMotion:
    """One clip: poses (T, 66) rad with the world's z up; the rest is as in the file, None if missing."""

    poses: np.ndarray
    betas: Any
    rate_hz: Any
    gender: str
    surface_model: str  # smplh, smplx; empty: unknown
    fit: ClipFit | None = None  # where pmnet has fitted the clip


def clip_files(source: Path) -> list[Path]:
    """Return the clips below a folder in a fixed order.

    Where stage ii of a clip is there as npz and as pickle, the npz is taken. neutrMosh's camera-aligned
    files of Human3.6M are left out: their poses are not in a world frame.
    """
    paths = sorted(
        path
        for path in files_below(source, ".npz", ".pkl")
        if not path.name.lower().endswith(SHAPE_FILES) and not ALIGNED.fullmatch(path.stem)
    )
    both = {path for path in paths if path.suffix == ".npz"}
    return [path for path in paths if path.suffix == ".npz" or path.with_suffix(".npz") not in both]


def clip_folders(root: Path) -> list[Path]:
    """Return the folders of SUBJECT/CLIP below `root`.

    Clips are recognised by their names, as CLIP_poses.npz, or by their keys; neutrMosh's clips by the name
    of the folder.
    """
    folders: set[Path] = set()
    for path in files_below(root, ".npz", ".pkl"):
        source = path.parent.parent if path.parent != root else root
        if source in folders:
            continue
        known = path.name.endswith(NAMES) or source.name in NEUTR_MOSH
        if not known and path.suffix == ".npz":
            keys = npz_keys(path)
            known = "poses" in keys and bool(RATES & keys) and "imgname" not in keys
        if known:
            folders.add(source)
    return sorted(folders)


def read_motion(path: Path) -> ClipMotion | None:
    """Return the motion in one file; None where the file is foreign: it has no poses and no name of a clip.

    Raises InputError naming the file and the key at fault.
    """
    named = path.name.endswith(NAMES) or path.parent.parent.name in NEUTR_MOSH
    if path.suffix == ".npz":
        if not named and (keys := npz_keys(path)) and not keys & (POSES | RATES):
            return None
        values: Mapping[str, Any] = read_npz(path, (*KEYS, *FIT_KEYS))
        key = "root_orient" if "poses" not in values and "root_orient" in values else "poses"
        rate = _first(values, "mocap_framerate", "mocap_frame_rate")
        gender, betas = values.get("gender"), values.get("betas")
        kind = values.get("surface_model_type")
    else:
        try:
            values = read_pickle(path, PICKLED, OBJECTS)
        except InputError:
            if named or is_damaged(path):
                raise
            return None  # whatever it is, it is a whole pickle of something else
        if not named and not values.keys() & (POSES | RATES):
            return None
        known = [key for key in ("fullpose", "poses", "new_poses") if key in values]
        key = known[0] if known else "pose_est_fullposes"
        details = _dict(values, "stageii_debug_details")
        model = _dict(_dict(details, "cfg"), "surface_model")
        rate = _plain(_first({**details, **values}, "mocap_framerate", "mocap_frame_rate"))
        gender = _plain(_first({**_dict(values, "ps"), **model}, "gender"))
        gender = "neutral" if key in ("poses", "new_poses") and gender is None else gender
        betas, kind = _first(values, "betas", "shape_est_betas"), _plain(model.get("type"))
    poses = _poses(path, values, key)
    return ClipMotion(
        poses=poses,
        betas=betas,
        rate_hz=rate,
        gender=_gender(path, gender),
        surface_model=_text(kind).lower(),
        fit=clip_fit(path, values, len(poses)) if path.suffix == ".npz" else None,
    )


def _poses(path: Path, values: Mapping[str, Any], key: str) -> np.ndarray:
    poses = _there(path, values, key)
    if key == "root_orient":
        _check(path, key, poses, 3)
        body = _there(path, values, "pose_body")
        _check(path, "pose_body", body, BODY)
        if len(body) != len(poses):
            raise InputError(
                f"{path}: 'root_orient' has {len(poses)} frames and 'pose_body' {len(body)}; the file "
                "is damaged or mixed up"
            )
        poses = np.concatenate([poses[:, :3], body[:, :BODY]], 1)
    else:
        _check(path, key, poses, USED)
    bad = ~np.isfinite(poses[:, :USED]).all(1)
    if bad.any():
        raise InputError(
            f"{path}: {key!r} row {int(bad.argmax())} is NaN or infinite ({int(bad.sum())} rows); "
            "remove the clip or mend it"
        )
    return poses[:, :USED]


def _there(path: Path, values: Mapping[str, Any], key: str) -> np.ndarray:
    if values.get(key) is None:
        keys = ", ".join(sorted(set(values) - set(FIT_KEYS))) or "nothing"
        raise InputError(f"{path}: key {key!r} is missing; found {keys}")
    return np.asarray(values[key])


def _check(path: Path, key: str, poses: np.ndarray, width: int) -> None:
    if poses.ndim != 2 or poses.shape[1] < width or not np.issubdtype(poses.dtype, np.floating):
        expected = "(frames, 156) or (frames, 72)" if width == USED else f"(frames, {width})"
        raise InputError(
            f"{path}: {key!r} is {poses.dtype} {poses.shape}; expected {expected} of rotation vectors "
            "in rad"
        )


def _gender(path: Path, value: Any) -> str:
    word = _text(value).lower()
    gender = word if word in GENDERS.values() else GENDERS.get(word)
    if gender is None:
        raise InputError(f"{path}: 'gender' is {word!r}; expected male, female or neutral")
    return gender


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else str(value)
    if isinstance(value, bytes):
        value = value.decode("latin1")
    return "" if value is None or value == "None" else str(value)


def _first(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)


def _dict(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = _plain(values.get(key))
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> Any:
    """Return what a node of OmegaConf holds, read as its attributes; None where it refers to another."""
    if isinstance(value, dict) and "_metadata" in value:
        value = value.get("_content", value.get("_val"))
    return None if isinstance(value, str) and value.startswith("${") else value
