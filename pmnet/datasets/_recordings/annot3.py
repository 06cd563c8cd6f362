"""MPI-INF-3DHP's annot3 to bodies: an npz in SPIN's layout, in the place of SPIN's own fits.

The joints are in each camera's frame, in mm; the bodies of a subject share their shape over all cameras.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from pmnet.body import BodyModel
from pmnet.body.keypoints import J24
from pmnet.core.checkpoints import FOLDER
from pmnet.core.files import replacing
from pmnet.core.progress import say, track
from pmnet.core.ranges import Count
from pmnet.datasets._recordings.people import prior_and_people
from pmnet.datasets._shared.rows import Rows
from pmnet.datasets.mpi_inf_3dhp.raw import read_train
from pmnet.fitting.files import fit_seen
from pmnet.fitting.joint_sets import points_of_joints
from pmnet.fitting.options import fit_options
from pmnet.fitting.recordings import Knowledge, code_hash, hash_of
from pmnet.fitting.subject import SubjectFitter
from pmnet.formats.npz import read_npz

FILE: Final = "mpi_inf_3dhp_train.npz"
KEPT: Final = ("pose", "shape", "fitted", "converged", "residuals_mm")
FITS: Final = FOLDER.parent / "fits"


@dataclass(frozen=True)
class Annot3Fit:
    """Which annotations are fitted, and how (see `RecordingFit`); `images` as in the adapter."""

    fit: dict[str, Any]
    poses: Path | None
    annotation: Literal["annot3", "univ_annot3"]
    images: Path
    every: Count


def fit_annot3(
    source: Path,
    options: Annot3Fit,
    body: BodyModel,
    out: Path,
    where: str,
    device: torch.device | None = None,
) -> Path:
    """Fit the annotations S*/Seq*/annot.mat below a folder, and return the npz in SPIN's layout.

    Beside SPIN's keys it has `residuals_mm` (N, 24), per joint of J24 with NaN where there is none, and
    `converged` (N,). What an interrupted call has fitted is not fitted again. `where` names the options in
    errors. Raises InputError naming the file or the option that is wrong.
    """
    settings = fit_options(options.fit, f"{where}.fit")
    rows, counts = read_train(source, options.images, options.annotation, options.every)
    _report(counts)
    subjects = np.asarray(rows.subject)
    parts = {}
    known: Knowledge | None = None
    for subject in track(sorted(set(subjects.tolist())), "fitting subjects"):
        own = rows.select(subjects == subject)
        kept = FITS / f"{_key(own, options, body)}.npz"
        if not kept.is_file():
            known = known or _knowledge(options, body, device)
            _write(kept, _fitted(source / subject, own, known, settings))
        parts[subject] = read_npz(kept, KEPT)
    order = np.argsort(np.argsort(subjects, kind="stable"), kind="stable")
    whole = {key: np.concatenate([parts[s][key] for s in sorted(parts)])[order] for key in KEPT}
    file = out / FILE
    _write(file, _spin(rows, whole) | {"body": np.array(body.sha256)})
    return file


def _knowledge(options: Annot3Fit, body: BodyModel, device: torch.device | None) -> Knowledge:
    on = device or torch.device("cpu")
    prior, people = prior_and_people(options.poses, body)
    return Knowledge(body.to(on), prior.to(on), people.to(on), {})


def _fitted(where: Path, rows: Rows, known: Knowledge, settings: Any) -> dict[str, np.ndarray]:
    """Return the fits of one subject, by the keys KEPT."""
    joints = np.asarray(rows.keypoints_3d)
    used = [index for index in range(len(J24)) if (joints[:, index, 3] > 0).any()]
    points = points_of_joints(known.body, [("keypoint", J24[index]) for index in used])
    targets = np.where(joints[:, used, 3:] > 0, joints[:, used, :3], np.nan)
    fitter = SubjectFitter(known.body, points, known.prior, known.people, settings)
    fit = fit_seen(where, fitter, torch.from_numpy(targets).to(points.weight))
    residuals = np.full((len(rows), len(J24)), np.nan)
    residuals[:, used] = 1000 * fit.residuals.cpu().numpy()
    params = fit.placed.params
    return {
        "pose": params.rotvecs().reshape(len(rows), 72).cpu().numpy(),
        "shape": params.betas.cpu().numpy(),
        "fitted": fit.fitted.cpu().numpy(),
        "converged": fit.converged.cpu().numpy(),
        "residuals_mm": residuals.astype(np.float32),
    }


def _spin(rows: Rows, fits: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "imgname": np.asarray(rows.image_name, str),
        "center": rows.center,
        "scale": rows.scale,
        "part": np.asarray(rows.keypoints_2d),
        "S": np.asarray(rows.keypoints_3d),
        "pose": fits["pose"],
        "shape": fits["shape"],
        "has_smpl": fits["fitted"].astype(np.uint8),
        "residuals_mm": fits["residuals_mm"],
        "converged": fits["converged"],
    }


def _key(rows: Rows, options: Annot3Fit, body: BodyModel) -> str:
    """Return the hash of all that the fits of a subject depend on."""
    learnt = hash_of(options.poses) if options.poses else ""
    texts = [
        json.dumps(asdict(options), default=str, sort_keys=True),
        body.sha256,
        code_hash(),
        learnt,
    ]
    digest = sha256("\n".join(texts).encode())
    digest.update(np.ascontiguousarray(rows.keypoints_3d).tobytes())
    return digest.hexdigest()[:20]


def _write(file: Path, values: dict[str, np.ndarray]) -> None:
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **values)  # type: ignore[arg-type]


def _report(counts: Counter[str]) -> None:
    for what, count in counts.items():
        say(f"  {count} {what}")
