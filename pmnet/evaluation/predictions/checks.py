"""Are these predictions of these samples? Unit, mesh, body model, direction and order, before any mean.

Each check compares a few rows, spread evenly, with the truth. A fault is refused with what to do about it:
a mean over wrong rows looks like any other mean.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.distance import mean_distance_mm
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.data.samples import Samples
from pmnet.evaluation.metrics import pa_mpjpe_mm
from pmnet.evaluation.prediction import EvaluationTruth, posed, truth_of
from pmnet.evaluation.predictions.joins import NAMES_CURE, Join
from pmnet.evaluation.predictions.points import AXES, PredictedPoints, half_turn
from pmnet.evaluation.protocols import Protocol

MOST: Final = 2000  # rows that are looked at
MESHES: Final = 64  # of them those whose mesh and body model are compared
SMALLEST_M, LARGEST_M = 0.5, 3.0  # longest side of the box around a body
UNITS: Final = (("mm", 1000.0), ("cm", 100.0), ("dm", 10.0))
STRETCHED: Final = 2.0  # edges this many times as long as the body's are edges of another mesh
OTHER_BODY_MM: Final = 5.0  # between a file's vertices and those that its parameters make
TURNED: Final = 0.6  # of the error as it is: then a turned body fits better
FEWEST: Final = 30  # rows from which an order can be judged
BLOCKS: Final = 10  # of consecutive rows, that are judged one by one
SURE: Final = 3.0  # standard deviations of a sign test
ORDERED: Final = 0.7  # share of rows that are nearer to their own truth than to another's
DOUBTS: Final = "are its joints in the order of their set, and its bodies in the camera's frame?"
CONSTANT_MM: Final = 5.0  # spread of predictions that are all alike


@dataclass(frozen=True)
class Plausibility:
    """What the checks saw: medians (mm) over `n` rows, and over pairs with another sample's truth."""

    n: int
    pa_mpjpe_mm: float
    of_others_mm: float

    def in_words(self) -> str:
        """Return the medians as a sentence."""
        return (
            f"median PA-MPJPE of {self.n:,} rows: {self.pa_mpjpe_mm:.1f} mm; against the truth of other "
            f"samples: {self.of_others_mm:.1f} mm"
        )


def spread_rows(n: int, most: int) -> Int[np.ndarray, "m"]:
    """Return at most `most` of n numbers, spread evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


@torch.no_grad()
def check_plausible(
    predicted: PredictedPoints,
    samples: Samples,
    joined: Join,
    protocol: Protocol,
    trust_order: bool,
) -> Plausibility:
    """Return what a comparison of a few rows shows; raises InputError where they cannot be right.

    Refused are another unit, mesh or body model, bodies that are turned or mirrored, and rows that are
    joined by position in another order than the samples. `trust_order` prints the last instead.
    """
    source = predicted.predictions.source
    few = spread_rows(len(joined.rows), MOST)
    rows, found = joined.rows[few], joined.found[few]
    meshes = found[spread_rows(len(found), MESHES)]
    check_body_of(predicted, meshes)
    some = samples.select(torch.from_numpy(rows))
    truth = truth_of(some, predicted.body, protocol)
    points = predicted.of(found, protocol, truth.genders)
    joints = points.measured(protocol.joints)
    points.origin(protocol.mpjpe)  # says what the file lacks
    if predicted.use != "pose":
        check_sizes(predicted, points.vertices if points.vertices is not None else joints, found)
    _check_direction(predicted, joints, truth)
    errors, others = _against_others(joints, truth)
    if joined.by_position:
        _check_order(predicted, joints, errors < others, found, trust_order)
    elif len(few) >= FEWEST and not _is_sure(float((errors < others).float().mean()), len(few)):
        say(f"WARNING: {source}: no nearer to the truth than to that of other samples; {DOUBTS}")
    seen = Plausibility(len(few), float(errors.median()), float(others.median()))
    say(f"{source}: {seen.in_words()}")
    return seen


# --- unit and mesh


def check_sizes(
    predicted: PredictedPoints, points: Float[Tensor, "n p 3"], rows: Int[np.ndarray, "n"]
) -> None:
    """Raise InputError where a body is too large or too small to be in metres."""
    sizes = (points.amax(1) - points.amin(1)).amax(1)
    wrong = ~((sizes > SMALLEST_M) & (sizes < LARGEST_M))
    if not wrong.any():
        return
    at, size = int(wrong.int().argmax()), float(sizes[wrong][0])
    hint = next(
        (
            f". It looks like {name}: divide by {per_m:g}"
            for name, per_m in UNITS
            if SMALLEST_M < size / per_m < LARGEST_M
        ),
        "; drop these rows, or predict them again",
    )
    raise InputError(
        f"{predicted.predictions.source}: {predicted.use!r} row {int(rows[at])} is {size:.4g} m across "
        f"({int(wrong.sum())} of {len(wrong)} rows are too small or too large); expected a person in metres"
        + hint
    )


def check_body_of(predicted: PredictedPoints, rows: Int[np.ndarray, "n"]) -> None:
    """Raise InputError where meshes or parameters are of another body model than the truth."""
    p, body = predicted.predictions, predicted.body
    if p.body and p.body != body.sha256:
        raise InputError(
            f"{p.source}: was made with the body model {p.body[:12]}, the samples with {body.sha256[:12]}; "
            "betas fit one body model only: predict with the body of the samples, or give `vertices` of "
            "SMPL's mesh without `body`"
        )
    if p.vertices is not None:
        _check_edges(p.source, p.vertices_of(rows), body)
    if p.pose is None or predicted.use != "pose":
        return
    points = posed(p.params(rows), body)
    if p.vertices is not None:
        _check_same(predicted, points.vertices, p.vertices_of(rows), "vertices", rows)
    if p.joints is not None and p.joint_set == "h36m17" and body.has_h36m:
        _check_same(predicted, points.h36m, p.joints_of(rows), "joints", rows)
    if p.joints is not None and p.joint_set == "smpl24":
        _check_same(predicted, points.skeleton, p.joints_of(rows), "joints", rows)


def _check_edges(source: object, vertices: Float[Tensor, "n v 3"], body: BodyModel) -> None:
    a, b = body.faces[:, 0].long(), body.faces[:, 1].long()
    rest = body.rest_shape()[0].T
    own = (rest[a] - rest[b]).norm(dim=1)
    lengths = (vertices[:, a] - vertices[:, b]).norm(dim=2)
    scale = (vertices.amax(1) - vertices.amin(1)).norm(dim=1)[:, None]
    stretch = float((lengths / scale).mean() / (own.mean() / (rest.amax(0) - rest.amin(0)).norm()))
    if stretch > STRETCHED:
        raise InputError(
            f"{source}: neighbouring vertices are {stretch:.1f} times as far apart as on this body: its "
            "vertices have the order of another mesh; give the vertices in the order of the body model of "
            "the samples (body.file)"
        )


def _check_same(
    predicted: PredictedPoints,
    made: Float[Tensor, "n p 3"],
    given: Float[Tensor, "n p 3"],
    key: str,
    rows: Int[np.ndarray, "n"],
) -> None:
    """Raise InputError where points of a file are not those that its pose and betas make, moved anyhow."""
    gaps = mean_distance_mm(made - made.mean(1, True), given - given.mean(1, True))
    if float(gaps.median()) > OTHER_BODY_MM:
        at = int(gaps.argmax())
        raise InputError(
            f"{predicted.predictions.source}: the {key} of the file are {float(gaps.median()):.1f} mm "
            f"(median; row {int(rows[at])}: {float(gaps[at]):.1f}) from those that its pose and betas make "
            "with this body model: pose and betas are of another body model or gender, or in another "
            "frame; give the body model that was predicted with (--body), or score the file's own with --use "
            + ("vertices" if key == "vertices" else "joints")
        )


# --- direction


def _check_direction(
    predicted: PredictedPoints, joints: Float[Tensor, "n j 3"], truth: EvaluationTruth
) -> None:
    """Raise InputError where bodies fit far better after half a turn about an axis, or mirrored."""
    if predicted.turn != "none":
        return
    known = truth.known[..., None].to(joints.dtype)
    pred, true = (
        (x - (x * known).sum(1, True) / known.sum(1, True)) * known for x in (joints, truth.joints)
    )

    def error(moved: Float[Tensor, "n j 3"]) -> float:
        return float(mean_distance_mm(moved, true).median())

    others = {str(turn): error(pred @ half_turn(turn).mT) for turn in AXES}
    others["mirror"] = error(pred * torch.tensor([-1.0, 1.0, 1.0]))
    best = min(others, key=lambda name: others[name])
    as_it_is = error(pred)
    if others[best] > TURNED * as_it_is:
        return
    source = predicted.predictions.source
    seen = f"joints are {as_it_is:.0f} mm from the truth (median), but {others[best]:.0f} mm"
    axis = best[0]
    if best == "mirror":
        message = (
            f"{source}: {seen} mirrored: left and right are swapped, or x points left; expected the camera's "
            "frame, x right, y down, z away; mirror the predictions (bodies: as in SPIN's flip_pose)"
        )
    else:
        heads = "heads are down: " * (best in ("x180", "z180"))
        message = (
            f"{source}: {seen} after half a turn about {axis}: {heads}expected the camera's frame, x "
            f"right, y down, z away; turn them with --turn {best} (comparators: turn: {best}), or negate the "
            "other two axes of vertices and joints"
        )
    if len(joints) < FEWEST:
        say(f"WARNING: {message}; scored as they are, since {len(joints)} rows prove nothing")
        return
    raise InputError(message)


# --- order


def _against_others(
    joints: Float[Tensor, "n j 3"], truth: EvaluationTruth
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return PA-MPJPE (mm) of each row, and of each row with the truth of another random row."""
    n = len(joints)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(n, generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # nobody gets their own truth
    own = pa_mpjpe_mm(joints, truth.joints, truth.known)
    return own, pa_mpjpe_mm(joints, truth.joints[other], truth.known[other])


def _check_order(
    predicted: PredictedPoints,
    joints: Float[Tensor, "n j 3"],
    nearer: Bool[Tensor, "n"],
    rows: Int[np.ndarray, "n"],
    trust_order: bool,
) -> None:
    """Refuse rows that are no nearer to their own truth than to another's: all of them, or a block."""
    source, n = predicted.predictions.source, len(nearer)
    if n < FEWEST:
        say(
            f"{source}: joined by position; {n} rows are too few to see whether their order is right"
        )
        return
    centred = joints - joints.mean(1, True)
    spread = float(mean_distance_mm(centred, centred.mean(0).expand_as(centred)).mean())
    if spread < CONSTANT_MM:
        say(f"{source}: all predictions are alike, so their order cannot be seen; trusted as it is")
        return
    share = float(nearer.float().mean())
    blocks = [b for b in np.array_split(np.arange(n), BLOCKS) if len(b) >= FEWEST]
    fault = ""
    if not _is_sure(share, n):
        fault = "rows in an order of their own"
    elif share > ORDERED:
        for block in blocks:
            of_block = float(nearer[torch.from_numpy(block)].float().mean())
            if not _is_sure(of_block, len(block)):
                first, last = int(rows[block[0]]), int(rows[block[-1]])
                share, fault = of_block, f"rows about {first} to {last} in another order"
                break
    if not fault:
        return
    message = (
        f"{source}: {fault}: {share:.0%} of the rows there are nearer to their own truth than to that of "
        "another sample, and 50 % are by chance"
    )
    if trust_order:
        say(f"WARNING: {message}; trusted as it is (trust order)")
        return
    raise InputError(
        f"{message}; they seem shuffled, cut or of another data set: {NAMES_CURE}; or, if the order is right "
        "and the model that weak, pass --trust-order"
    )


def _is_sure(share: float, n: int) -> bool:
    """Return whether a share of n is above a half by a sign test."""
    return (share - 0.5) * 2 * n**0.5 > SURE
