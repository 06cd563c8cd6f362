"""A file of markers or joints to a file of bodies: what `pmnet fit` does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.fitting.markers import Place, known_labels, marker_points, plain_label, vertices_of
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import joint_points, rest_normals
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.subject import SubjectFit, SubjectFitter
from pmnet.formats.arrays import array
from pmnet.formats.c3d import read_c3d
from pmnet.formats.npz import read_npz
from pmnet.formats.trajectories import Trajectories, in_metres
from pmnet.formats.trc import read_trc

FEWEST_LABELS: Final = 8  # known points, below which a pose is mostly the prior's
SUFFIXES: Final = (".c3d", ".trc", ".npz")
# turns that bring each axis to z, AMASS's up
TO_Z: Final = {
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
}
CLEARLY: Final = 0.8  # share of the way from feet to head that goes along the axis that is up
AMASS_WIDTH: Final = 156  # numbers of a pose of SMPL-H; hands stay at rest


@dataclass(frozen=True)
class FittedFile:
    """The fit of a file, with the labels that were used and those that were not known.

    `more` are arrays that are written beside those of the fit, `notes` further lines of the summary.
    """

    trajectories: Trajectories
    labels: list[str]
    unknown: list[str]
    fit: SubjectFit
    up: str
    more: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> list[str]:
        """Return what a user should know of the fit, a line each."""
        fit, count = self.fit, len(self.fit.fitted)
        used = torch.isfinite(fit.residuals)
        by_label = torch.nanmean(fit.residuals, 0).nan_to_num(-1)
        worst = int(by_label.argmax())
        lines = [
            f"{count} frames, {int(fit.fitted.sum())} fitted, {int(fit.converged.sum())} converged",
            f"{len(self.labels)} points known, {1000 * fit.residuals[used].mean():.1f} mm from their "
            f"places; farthest: {self.labels[worst]}, {1000 * by_label[worst]:.1f} mm",
            f"{int(fit.swapped.sum())} points had another's label, {int(fit.dropped.sum())} were dropped",
            f"joints are sure to {fit.uncertainty.spread_mm.nanmean():.1f} mm; the noise of points is "
            f"{fit.uncertainty.noise:.1f} times the expected",
            f"up is {self.up}",
            *self.notes,
        ]
        if self.unknown:
            lines.append(f"labels not known, left out: {', '.join(self.unknown)}")
        return lines


def read_trajectories(path: Path, unit: str = "") -> Trajectories:
    """Return the points of a .c3d, .trc or .npz; `unit` (m, cm, mm) overrules the file's.

    An .npz has `markers` (T, M, 3) with `labels` (M), as AMASS's files of markers, or `joints` (T, 24, 3)
    of the skeleton; `mocap_framerate`; it is in m unless `unit` says otherwise.
    Raises InputError naming what is wrong.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".c3d":
        return read_c3d(path, unit)
    if path.suffix.lower() == ".trc":
        return read_trc(path, unit)
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    values = read_npz(path, ("markers", "labels", "joints", "mocap_framerate", "mocap_frame_rate"))
    key = "markers" if "markers" in values else "joints"
    points = array(path, values, key, (None, None, 3))
    labels = list(JOINTS)
    if key == "markers":
        labels = array(path, values, "labels", (points.shape[1],), "U").tolist()
    elif points.shape[1] != len(JOINTS):
        raise InputError(
            f"{path}: 'joints' has {points.shape[1]} joints; expected SMPL's {len(JOINTS)}"
        )
    rates = [values[name] for name in ("mocap_framerate", "mocap_frame_rate") if name in values]
    if (
        not rates
        or rates[0].dtype.kind not in "fiu"
        or rates[0].size != 1
        or not rates[0].item() > 0
    ):
        raise InputError(
            f"{path}: 'mocap_framerate' is missing or no rate; add the frames per second"
        )
    return Trajectories(labels, in_metres(path, points, unit or "m"), float(rates[0].item()))


def fit_trajectories(
    path: Path,
    trajectories: Trajectories,
    body: BodyModel,
    prior: PosePrior,
    poses: BodyParams,
    options: FitOptions,
    table: dict[str, Place],
    up: str = "auto",
) -> FittedFile:
    """Return the fit of one subject; `up` is the axis of the file that is up: auto, x, y or z.

    Raises InputError where too few labels are known, or where it cannot be seen which axis is up.
    """
    is_skeleton = [plain_label(label).lower() for label in trajectories.labels] == list(JOINTS)
    labels, unknown = known_labels(trajectories.labels, {} if is_skeleton else table)
    if is_skeleton:
        labels, unknown, points, normals = list(JOINTS), [], joint_points(body), None
    else:
        labels = _unique(path, labels)
        if len(labels) < FEWEST_LABELS:
            raise InputError(
                f"{path}: {len(labels)} of its {len(trajectories.labels)} labels are known; expected "
                f"{FEWEST_LABELS} or more. Add places of your own by --markers FILE for: "
                f"{', '.join(unknown) or 'none'}"
            )
        points = marker_points(body, labels, table)
        chosen = vertices_of(body, [table[plain_label(label)] for label in labels])
        normals = rest_normals(body)[chosen]
    columns = range(len(JOINTS)) if is_skeleton else map(trajectories.labels.index, labels)
    seen = torch.from_numpy(trajectories.points[:, list(columns)]).to(points.weight)
    fitter = SubjectFitter(body, points, prior, poses, options, normals)
    try:
        fit = fitter(seen, torch.ones_like(seen[..., 0]), is_sequence=True)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return FittedFile(trajectories, labels, unknown, fit, axis_up(path, fit, body, up))


def write_amass(path: Path, fitted: FittedFile, body: BodyModel) -> None:
    """Write the bodies as an npz in AMASS's layout with MoSh++'s keys, z up; more keys say how good they are.

    `residuals_mm` (T, M; NaN where nothing was seen), `swapped`, `dropped` (T, M), `fitted`, `converged`
    (T), `joint_spread_mm` (T, 24: how far a joint may be from the truth, root mean square) and `body`, the
    sha256 of the body model that the betas belong to.
    """
    fit, frames = fitted.fit, len(fitted.fit.fitted)
    turn = torch.tensor(TO_Z[fitted.up], dtype=fit.placed.translation.dtype)
    params = fit.placed.params.to(torch.device("cpu"))
    rotmats = params.rotmats.clone()
    rotmats[:, 0] = turn @ rotmats[:, 0]
    root = body.to(torch.device("cpu")).rest_joints(params.betas)[:, 0]
    translation = (fit.placed.translation.cpu() + root) @ turn.T - root
    poses = np.zeros((frames, AMASS_WIDTH), np.float32)
    poses[:, :66] = BodyParams(rotmats, params.betas).rotvecs()[:, :22].reshape(frames, 66).numpy()
    rest = fit.points.rest(fit.placed.params.betas[:1])[0]
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            poses=poses,
            trans=translation.numpy(),
            betas=params.betas[0].numpy(),
            num_betas=np.array(10),
            gender=np.array("neutral"),
            surface_model_type=np.array("smpl"),
            mocap_framerate=np.array(fitted.trajectories.rate_hz),
            mocap_frame_rate=np.array(fitted.trajectories.rate_hz),
            mocap_time_length=np.array(frames / fitted.trajectories.rate_hz),
            latent_labels=np.array(fitted.labels),
            markers_latent=rest.cpu().numpy(),
            residuals_mm=1000 * fit.residuals.cpu().numpy(),
            swapped=fit.swapped.cpu().numpy(),
            dropped=fit.dropped.cpu().numpy(),
            fitted=fit.fitted.cpu().numpy(),
            converged=fit.converged.cpu().numpy(),
            joint_spread_mm=fit.uncertainty.spread_mm.cpu().numpy(),
            body=np.array(body.sha256),
            **fitted.more,
        )


def _unique(path: Path, labels: Sequence[str]) -> list[str]:
    plain = [plain_label(label) for label in labels]
    if twice := sorted({label for label in plain if plain.count(label) > 1}):
        raise InputError(
            f"{path}: the labels {', '.join(twice)} occur more than once, as with two subjects; "
            "export one subject per file"
        )
    return list(labels)


def axis_up(path: Path, fit: SubjectFit, body: BodyModel, wanted: str) -> str:
    """Return the axis along which people stand: from the feet to the head, the median over frames.

    `wanted` is returned unless it is auto. Raises InputError where people do not stand along one axis.
    """
    if wanted != "auto":
        return wanted
    joints = body.joints(fit.placed.params[fit.fitted.nonzero()[:, 0]])
    feet = [JOINTS.index("left_ankle"), JOINTS.index("right_ankle")]
    way: Float[Tensor, "t 3"] = joints[:, JOINTS.index("head")] - joints[:, feet].mean(1)
    middle = torch.nn.functional.normalize(way, dim=1).median(0)[0]
    axis = int(middle.abs().argmax())
    if middle[axis] < CLEARLY:
        raise InputError(
            f"{path}: people do not stand along one axis ({', '.join(f'{x:.2f}' for x in middle)}); "
            "say which axis is up by --up x, y or z"
        )
    return "xyz"[axis]
