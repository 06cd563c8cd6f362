"""A folder of 2D joints in several cameras to a file of bodies: what `pmnet fit FOLDER` does."""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.fitting.detections import read_views
from pmnet.fitting.files import FittedFile, upward
from pmnet.fitting.joint_sets import known_joints, points_of_joints
from pmnet.fitting.options import FitOptions
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.views import ViewsFit, fit_views
from pmnet.formats.trajectories import Trajectories

FEWEST_JOINTS: Final = 6  # known names, below which a pose is mostly the prior's


def fit_folder(
    folder: Path,
    body: BodyModel,
    prior: PosePrior,
    poses: BodyParams,
    options: FitOptions,
    up: str = "auto",
    rate_hz: float = 0.0,
) -> FittedFile:
    """Return the fit of one person in a folder of views (see `read_views`), with `reprojection_px` (T, V, M).

    `up` is the axis of the calibration's world that is up; `rate_hz` overrules the frame rate of the files,
    most of which have none (0: take theirs). Raises InputError naming what is wrong.
    """
    cameras, seen = read_views(folder)
    rate = rate_hz or seen.rate_hz
    if not rate:
        raise InputError(f"{folder}: its files do not say the frame rate; give it by --rate")
    lies = known_joints(seen.names)
    known = [column for column, name in enumerate(seen.names) if name in lies]
    names = [seen.names[column] for column in known]
    unknown = [name for name in seen.names if name not in lies]
    if len(names) < FEWEST_JOINTS:
        raise InputError(
            f"{folder}: {len(names)} of its {len(seen.names)} joints have a known name; expected "
            f"{FEWEST_JOINTS} or more. Not known: {', '.join(unknown)}"
        )
    device = body.faces.device
    pixels = torch.from_numpy(seen.pixels[:, :, known]).float().to(device)
    confidence = torch.from_numpy(seen.confidence[:, :, known]).float().to(device)
    points = points_of_joints(body, [lies[name] for name in names])
    try:
        fit = fit_views(pixels, confidence, cameras.to(device), body, points, prior, poses, options)
    except InputError as error:
        raise InputError(
            f"{folder}: {error}; do the calibration and the joints belong together?"
        ) from None
    positions = fit.triangulated.points.double().cpu().numpy()
    trajectories = Trajectories(names, positions, rate)
    pixels_off = np.asarray(fit.reprojection_px.cpu(), np.float32)
    more = {"reprojection_px": pixels_off, "cameras": np.array(cameras.names)}
    fitted = fit.subject.fitted.nonzero()[:, 0]
    axis = upward(folder, fit.subject.placed.params[fitted], body, up)
    notes = _notes(fit, names, cameras.names)
    return FittedFile(trajectories, names, unknown, fit.subject, axis, more, notes)


def _notes(fit: ViewsFit, names: list[str], cameras: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a user should know of the pixels, a line each."""
    used = torch.where(fit.used, fit.reprojection_px, torch.nan)
    by_joint, by_camera = used.nanmean((0, 1)).nan_to_num(-1), used.nanmean((0, 2))
    seen = fit.reprojection_px.isfinite()
    left_out = int((seen & ~fit.used).sum())
    worst = int(by_joint.argmax())
    each = ", ".join(f"{n} {px:.1f}" for n, px in zip(cameras, by_camera.tolist(), strict=True))
    return (
        f"{used.nanmean():.1f} px from the pixels ({each}); farthest: {names[worst]}, "
        f"{by_joint[worst]:.1f} px",
        f"{left_out} of {int(seen.sum())} pixels were contradicted by other cameras and left out",
    )
