"""A file of markers or joints to a file of bodies: what `pmnet fit` does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, replacing
from pmnet.fitting.joint_sets import known_joints, points_of_joints
from pmnet.fitting.joints_csv import read_joints_csv
from pmnet.fitting.markers import Place, known_labels, marker_points, plain_label, vertices_of
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import BodyPoints, rest_normals
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.subject import SubjectFit, SubjectFitter, SubjectShape
from pmnet.formats.arrays import array
from pmnet.formats.c3d import read_c3d
from pmnet.formats.npz import read_npz
from pmnet.formats.trajectories import Trajectories, in_metres
from pmnet.formats.trc import read_trc

FEWEST_LABELS: Final = 8  # known points, below which a pose is mostly the prior's
SUFFIXES: Final = (".c3d", ".trc", ".npz", ".csv")
NPZ_KEYS: Final = ("markers", "labels", "joints", "mocap_framerate", "mocap_frame_rate")
# turns that bring each axis to z, AMASS's up; y is down in the frame of a camera
TO_Z: Final = {
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
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
            f"joints are sure to {fit.uncertainty.sigma_mm.nanmean():.1f} mm; the noise of points is "
            f"{fit.uncertainty.noise:.1f} times the expected",
            f"up is {self.up}",
            *self.notes,
        ]
        if self.unknown:
            lines.append(f"labels not known, left out: {', '.join(self.unknown)}")
        return lines


def read_trajectories(path: Path, unit: str = "") -> Trajectories:
    """Return the points of a .c3d, .trc, .npz or .csv; `unit` (m, cm, mm) overrules the file's.

    An .npz has `markers` (T, M, 3) with `labels` (M), as AMASS's files of markers, or `joints` (T, J, 3)
    with their names in `labels` (J), without which they are the 24 of SMPL's skeleton; and
    `mocap_framerate`. For a .csv see `pmnet.fitting.joints_csv`. Both are in m unless `unit` says otherwise.
    Raises InputError naming what is wrong.
    """
    refuse_special(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    match path.suffix.lower():
        case ".c3d":
            return read_c3d(path, unit)
        case ".trc":
            return read_trc(path, unit)
        case ".csv":
            return read_joints_csv(path, unit)
        case ".npz":
            return _read_npz(path, unit)
    raise InputError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")


def _read_npz(path: Path, unit: str) -> Trajectories:
    values = read_npz(path, NPZ_KEYS)
    key = "markers" if "markers" in values else "joints"
    points = array(path, values, key, (None, None, 3))
    labels = list(JOINTS)
    if key == "markers" or "labels" in values:
        labels = array(path, values, "labels", (points.shape[1],), "U").tolist()
    elif points.shape[1] != len(JOINTS):
        raise InputError(
            f"{path}: 'joints' has {points.shape[1]} joints; expected SMPL's {len(JOINTS)}, or their "
            "names in 'labels'"
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


@dataclass(frozen=True)
class KnownPoints:
    """The points of a body that the labels of a subject name, and the labels that name none.

    `labels` are those that are known, without the subject before them; `normals` (M, 3) are None for joints.
    """

    labels: list[str]
    unknown: list[str]
    points: BodyPoints
    normals: Float[Tensor, "m 3"] | None

    def seen(self, trajectories: Trajectories) -> Float[Tensor, "t m 3"]:
        """Return where the points (m) were seen, NaN where they were not or have no label in the file."""
        columns = {plain_label(label): i for i, label in enumerate(trajectories.labels)}
        count = len(trajectories.points)
        seen = np.full((count, len(self.labels), 3), np.nan)
        for place, label in enumerate(self.labels):
            if label in columns:
                seen[:, place] = trajectories.points[:, columns[label]]
        return torch.from_numpy(seen).to(self.points.weight)


def known_points(
    where: Path, labels: Sequence[str], body: BodyModel, table: dict[str, Place]
) -> KnownPoints:
    """Return the points of a body that labels name: markers of the table, or joints, whichever are more.

    Raises InputError where fewer than 8 are known.
    """
    markers, _ = known_labels(labels, table)
    joints = known_joints(labels)
    known = markers if len(markers) >= len(joints) else list(joints)
    unknown = [label for label in labels if label not in known]
    if len(known) < FEWEST_LABELS:
        raise InputError(
            f"{where}: {len(known)} of its {len(labels)} labels are known; expected "
            f"{FEWEST_LABELS} or more. Add places of your own by --markers FILE for: "
            f"{', '.join(unknown) or 'none'}"
        )
    plain = [plain_label(label) for label in known]
    if known is not markers:
        points = points_of_joints(body, [joints[label] for label in known])
        return KnownPoints(plain, unknown, points, None)
    chosen = vertices_of(body, [table[label] for label in plain])
    points = marker_points(body, plain, table)
    return KnownPoints(plain, unknown, points, rest_normals(body)[chosen])


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
    """Return the fit of one file of one subject; `up` is its axis that is up, or auto.

    Raises InputError where too few labels are known, or where it cannot be seen which axis is up.
    """
    check_labels(path, trajectories.labels)
    known = known_points(path, trajectories.labels, body, table)
    fitter = SubjectFitter(body, known.points, prior, poses, options, known.normals)
    fit = fit_seen(path, fitter, known.seen(trajectories))
    axis = upward(path, fit.placed.params[fit.fitted.nonzero()[:, 0]], body, up)
    return FittedFile(trajectories, known.labels, known.unknown, fit, axis)


def fit_seen(
    path: Path,
    fitter: SubjectFitter,
    seen: Float[Tensor, "t m 3"],
    shape: SubjectShape | None = None,
) -> SubjectFit:
    """Return the fit of the frames of one file, whose name stands in errors."""
    try:
        return fitter(seen, torch.ones_like(seen[..., 0]), is_sequence=True, shape=shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_amass(path: Path, fitted: FittedFile, body: BodyModel, key: str = "") -> None:
    """Write the bodies as an npz in AMASS's layout with MoSh++'s keys, z up; more keys say how good they are.

    `residuals_mm` (T, M; NaN where nothing was seen), `swapped`, `dropped` (T, M), `fitted`, `converged`
    (T), `sigma_mm` (T, 24: how far a joint may be from the truth, root mean square), `latent_joints`
    (M), the joint that carries each point, `body`, the sha256 of the body model that the betas belong to, and
    `fit_key` (see `pmnet.fitting.recordings`).
    """
    fit, frames = fitted.fit, len(fitted.fit.fitted)
    turn = torch.tensor(TO_Z[fitted.up], dtype=fit.placed.translation.dtype)
    params = fit.placed.params.to(torch.device("cpu"))
    rotmats = params.rotmats.clone()
    rotmats[:, 0] = turn @ rotmats[:, 0]
    root = body.rest_joints(fit.placed.params.betas)[:, 0].cpu()
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
            sigma_mm=fit.uncertainty.sigma_mm.cpu().numpy(),
            latent_joints=owners(fit.points).cpu().numpy(),
            body=np.array(body.sha256),
            fit_key=np.array(key),
            **fitted.more,
        )


def owners(points: BodyPoints) -> Int[Tensor, "m"]:
    """Return the joint that carries most of each point."""
    shares = points.weight.new_zeros(len(JOINTS), len(points))
    shares.index_put_((points.joint, points.point), points.weight, accumulate=True)
    return shares.argmax(0)


def check_labels(path: Path, labels: Sequence[str]) -> None:
    """Raise InputError where a label occurs twice, as in files of two subjects."""
    plain = [plain_label(label) for label in labels]
    if twice := sorted({label for label in plain if plain.count(label) > 1}):
        raise InputError(
            f"{path}: the labels {', '.join(twice)} occur more than once, as with two subjects; "
            "export one subject per file"
        )


def upward(where: Path, params: BodyParams, body: BodyModel, wanted: str) -> str:
    """Return the axis along which people stand, from the feet to the head: x, y or z, or one of -x, -y, -z.

    It is the median over frames. Raises InputError where people stand along no axis.
    """
    if wanted != "auto":
        return wanted
    joints = body.joints(params)
    feet = [JOINTS.index("left_ankle"), JOINTS.index("right_ankle")]
    way: Float[Tensor, "t 3"] = joints[:, JOINTS.index("head")] - joints[:, feet].mean(1)
    middle = torch.nn.functional.normalize(way, dim=1).median(0)[0]
    axis = int(middle.abs().argmax())
    if middle[axis].abs() < CLEARLY:
        raise InputError(
            f"{where}: people do not stand along one axis ({', '.join(f'{x:.2f}' for x in middle)}); "
            "say which axis is up: x, y, z, -x, -y or -z"
        )
    return "-" * bool(middle[axis] < 0) + "xyz"[axis]
