"""The bodies of one subject in many frames, in two stages as in MoSh (Loper et al. 2014).

Stage I takes some frames that differ: shape, poses, and where the points lie on the body. Stage II takes all
frames with that shape and these places. Points far from their place are then swapped back or dropped, and
the frames that had them are fitted again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.core.device import in_threads
from pmnet.core.errors import InputError
from pmnet.fitting.mistaken import set_right
from pmnet.fitting.observations import Observation, Positions
from pmnet.fitting.options import FitOptions
from pmnet.fitting.places import best_shifts
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.solver import Fit, Placed, Solver
from pmnet.fitting.start import FEWEST, Starter
from pmnet.fitting.uncertainty import JointUncertainty, Uncertainty

CPU_CHUNK, GPU_CHUNK = 128, 8192  # frames at a time
PLACE_ROUNDS: Final = 4  # of stage I: shape and poses, then places
Result = TypeVar("Result")
SMOOTH_ROUNDS: Final = 4
SMOOTH_STEPS: Final = 3  # between two looks at the neighbours


@dataclass(frozen=True)
class SubjectFit:
    """T fitted frames of one subject.

    `points` are the points at the places that were found. `residuals` (m) are their distances from what was
    seen, NaN where nothing was; `swapped` points had another's label, `dropped` points were not used. A frame
    with fewer than three points has the body of the nearest frame that has more, and is not `fitted`.
    `uncertainty` is that of the joints; it knows nothing of `smooth`, which makes joints surer.
    """

    placed: Placed
    points: BodyPoints
    fitted: Bool[Tensor, "t"]
    converged: Bool[Tensor, "t"]
    residuals: Float[Tensor, "t m"]
    swapped: Bool[Tensor, "t m"]
    dropped: Bool[Tensor, "t m"]
    uncertainty: Uncertainty


@dataclass(frozen=True)
class SubjectShape:
    """What stage I gives, once for all recordings of a subject: betas, and points at their places."""

    points: BodyPoints
    betas: Float[Tensor, "1 10"]
    covariance: Float[Tensor, "10 10"]  # of the betas


@dataclass(frozen=True)
class _Seen:
    """Points (m) of frames, and their weights."""

    targets: Float[Tensor, "t m 3"]
    weights: Float[Tensor, "t m"]

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "_Seen":
        return _Seen(self.targets[rows], self.weights[rows])


class SubjectFitter:
    """Fits the subjects that wear one set of points; `poses` are bodies that the start learns from.

    `normals` (M, 3) are the normals of the skin at the points, along which places are less free.
    """

    def __init__(
        self,
        body: BodyModel,
        points: BodyPoints,
        prior: PosePrior,
        poses: BodyParams,
        options: FitOptions,
        normals: Float[Tensor, "m 3"] | None = None,
    ) -> None:
        self._body, self._points, self._prior, self._options = body, points, prior, options
        self._starter = Starter(body, points, prior, poses)
        self._normals = normals

    def __call__(
        self,
        targets: Float[Tensor, "t m 3"],
        weights: Float[Tensor, "t m"],
        is_sequence: bool = False,
        shape: SubjectShape | None = None,
    ) -> SubjectFit:
        """Return the fitted frames; a weight of 0 and NaN mark missing points (m).

        `is_sequence` says that frames follow each other, so that `smooth` couples them. With the `shape` of
        the subject there is no stage I. Raises InputError where no frame shows three points.
        """
        fitted, seen, start = self._begin(targets, weights)
        if shape is None:
            with one_thread():
                shape, start = self._stage_one(start, seen)
        points, betas = shape.points, shape.betas
        solver = Solver(self._body, points, self._prior, self._options)
        start = Placed(
            BodyParams(start.params.rotmats, betas.expand(len(seen), 10)), start.translation
        )
        fit = self._solve(solver, start, seen)
        fit, seen, swapped, dropped = self._set_right(solver, fit, seen)
        if is_sequence and self._options.smooth > 0 and fitted.all():
            fit = self._smoothed(solver, fit, seen)
        uncertainty = measured_uncertainty(
            JointUncertainty(self._body, points, self._prior, self._options),
            *(fit.placed, self._positions(seen), shape.covariance),
        )
        residuals = (self._posed(points, fit.placed) - seen.targets).norm(dim=2)
        residuals = torch.where(seen.weights > 0, residuals, torch.nan)
        rows = _nearest_true(fitted)
        return SubjectFit(
            placed=fit.placed[rows],
            points=points,
            fitted=fitted,
            converged=fit.converged[rows] & fitted,
            residuals=torch.where(fitted[:, None], residuals[rows], torch.nan),
            swapped=swapped[rows] & fitted[:, None],
            dropped=dropped[rows] & fitted[:, None],
            uncertainty=uncertainty.of_rows(rows, fitted),
        )

    def shape(
        self, targets: Float[Tensor, "t m 3"], weights: Float[Tensor, "t m"]
    ) -> tuple[SubjectShape, Placed]:
        """Return what stage I gives, and the closed-form starts of the frames that show three points."""
        _, seen, start = self._begin(targets, weights)
        with one_thread():
            return self._stage_one(start, seen)[0], start

    # --- stages

    def _begin(
        self, targets: Float[Tensor, "t m 3"], weights: Float[Tensor, "t m"]
    ) -> tuple[Bool[Tensor, "t"], _Seen, Placed]:
        """Return which frames can be fitted, their points, and their starts."""
        weights = torch.where(torch.isfinite(targets).all(2), weights, 0)
        targets = torch.where(weights[..., None] > 0, targets, 0)
        fitted = (weights > 0).sum(1) >= FEWEST
        if not fitted.any():
            raise InputError(f"no frame shows {FEWEST} known points; look at labels and gaps")
        seen = _Seen(targets, weights)[fitted.nonzero()[:, 0]]
        return fitted, seen, self._start(seen)

    def _start(self, seen: _Seen) -> Placed:
        parts = self._chunks(
            len(seen), lambda rows: self._starter(seen.targets[rows], seen.weights[rows])
        )
        return Placed.cat(parts)

    def _stage_one(self, start: Placed, seen: _Seen) -> tuple[SubjectShape, Placed]:
        """Return the shape of the subject, and the starts, of which those of stage I are fitted."""
        rows = varied_frames(self._body, start, seen.weights, self._options.shape_frames)
        placed, seen, points = start[rows], seen[rows], self._points
        one = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
        frees = self._options.place_mm > 0 and self._normals is not None
        for _ in range(PLACE_ROUNDS if frees else 1):
            solver = Solver(self._body, points, self._prior, self._options)
            positions = self._positions(seen)
            placed = solver.solve(placed, positions, one).placed
            if self._normals is not None and frees:
                spread = self._options.place_mm / 1000
                shifts = best_shifts(
                    self._body, self._points, placed, positions, self._normals, spread
                )
                points = self._points.moved(shifts)
        measure = JointUncertainty(self._body, points, self._prior, self._options)
        covariance = measure.of_shape(placed, self._positions(seen))
        shape = SubjectShape(points, placed.params.betas[:1], covariance)
        rotmats = start.params.rotmats.index_copy(0, rows, placed.params.rotmats)
        translation = start.translation.index_copy(0, rows, placed.translation)
        return shape, Placed(BodyParams(rotmats, start.params.betas), translation)

    def _solve(self, solver: Solver, start: Placed, seen: _Seen) -> Fit:
        fits = self._chunks(
            len(start),
            lambda rows: solver.solve(start[rows], self._positions(seen[rows]), fit_shape=False),
        )
        return joined(fits)

    def _set_right(
        self, solver: Solver, fit: Fit, seen: _Seen
    ) -> tuple[Fit, _Seen, Bool[Tensor, "t m"], Bool[Tensor, "t m"]]:
        """Return the fit without mistaken points, the points as used, and which were mistaken."""
        nothing = torch.zeros_like(seen.weights, dtype=torch.bool)
        if self._options.wrong_mm == 0:
            return fit, seen, nothing, nothing
        posed = self._posed(solver.points, fit.placed)
        right = set_right(posed, seen.targets, seen.weights, self._options.wrong_mm / 1000)
        mended = _Seen(right.targets, right.weights)
        rows = (right.swapped | right.dropped).any(1).nonzero()[:, 0]
        if len(rows):
            again = self._solve(solver, fit.placed[rows], mended[rows])
            fit = _replaced(fit, rows, again)
        return fit, mended, right.swapped, right.dropped

    def _smoothed(self, solver: Solver, fit: Fit, seen: _Seen) -> Fit:
        """Return a fit whose points change their speed less; see `pulled_by_neighbours`."""
        few = Solver(
            self._body,
            solver.points,
            self._prior,
            replace(self._options, iterations=SMOOTH_STEPS),
        )
        stiffness = self._options.smooth * (1000 / self._options.noise_mm) ** 2
        for _ in range(SMOOTH_ROUNDS):
            expected = pulled_by_neighbours(self._posed(few.points, fit.placed))
            placed = fit.placed

            def solve(rows: slice, placed: Placed = placed, expected: Tensor = expected) -> Fit:
                positions = replace(
                    self._positions(seen[rows]), expected=expected[rows], pull=16 * stiffness
                )
                return few.solve(placed[rows], positions, fit_shape=False)

            fit = replace(joined(self._chunks(len(seen), solve)), converged=fit.converged)
        return fit

    # --- parts

    def _positions(self, seen: _Seen) -> Positions:
        information = (1000 / self._options.noise_mm) ** 2
        return Positions(seen.targets, seen.weights, information, self._options.robust_mm / 1000)

    def _posed(self, points: BodyPoints, placed: Placed) -> Float[Tensor, "t m 3"]:
        parts = self._chunks(
            len(placed),
            lambda rows: (
                points.posed(self._body, placed.params[rows]) + placed.translation[rows, None]
            ),
        )
        return torch.cat(parts)

    def _chunks(self, count: int, work: Callable[[slice], Result]) -> list[Result]:
        return in_chunks(count, self._body.faces.device, work)


def in_chunks(count: int, device: torch.device, work: Callable[[slice], Result]) -> list[Result]:
    """Return what `work` makes of each chunk of `count` frames, in order; a CPU works on several at once."""
    if device.type == "cuda":
        return [work(slice(a, a + GPU_CHUNK)) for a in range(0, count, GPU_CHUNK)]
    # as many chunks as threads even where there are few frames
    size = min(CPU_CHUNK, -(-count // torch.get_num_threads()))
    return list(in_threads(work, [slice(a, a + size) for a in range(0, count, size)]))


def measured_uncertainty(
    measure: JointUncertainty, placed: Placed, seen: Observation, shape: Float[Tensor, "10 10"]
) -> Uncertainty:
    """Return the uncertainty of the joints of all frames; `shape` is the covariance of the betas."""
    noise = measure.noise(placed, seen)
    parts = in_chunks(
        len(placed),
        placed.translation.device,
        lambda rows: measure.of_frames(placed[rows], seen.select(rows), noise, shape),
    )
    return Uncertainty(torch.cat(parts), float(noise))


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one torch thread inside the block: many small operations are no faster on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def varied_frames(
    body: BodyModel, placed: Placed, weights: Float[Tensor, "t m"], count: int
) -> Int[Tensor, "n"]:
    """Return the rows of up to `count` frames that differ most in pose, of those that show most points."""
    shown = (weights > 0).sum(1)
    rows = (shown >= shown.float().quantile(0.5)).nonzero()[:, 0]
    pose = BodyParams(placed.params.rotmats[rows].clone(), placed.params.betas[rows])
    pose.rotmats[:, 0] = torch.eye(3).to(pose.rotmats)  # a turn of the whole body shows nothing new
    joints = body.joints(pose).flatten(1)
    chosen = [torch.zeros_like(rows[0])]
    away = (joints - joints[0]).norm(dim=1)
    for _ in range(min(count, len(rows)) - 1):
        chosen.append(away.argmax())
        away = torch.minimum(away, (joints - joints[chosen[-1]]).norm(dim=1))
    return rows[torch.stack(chosen)]


def pulled_by_neighbours(points: Float[Tensor, "t m 3"]) -> Float[Tensor, "t m 3"]:
    """Return where points are drawn to so that they change their speed less.

    The energy is half the sum of squared second differences; a step of 1/16 of its slope cannot raise it.
    """
    changes = torch.zeros_like(points)
    changes[1:-1] = points[:-2] - 2 * points[1:-1] + points[2:]
    slope = -2 * changes
    slope[1:] += changes[:-1]
    slope[:-1] += changes[1:]
    return points - slope / 16


def _nearest_true(flags: Bool[Tensor, "t"]) -> Int[Tensor, "t"]:
    """Return for each frame the rank of the nearest true frame among the true ones."""
    true = flags.nonzero()[:, 0]
    frames = torch.arange(len(flags), device=flags.device)
    after = torch.searchsorted(true, frames).clamp(max=len(true) - 1)
    before = (after - 1).clamp(min=0)
    nearer = (frames - true[before]).abs() <= (frames - true[after]).abs()
    return torch.where(nearer, before, after)


def joined(fits: list[Fit]) -> Fit:
    """Return the frames of all fits, in order."""
    return Fit(
        Placed.cat([fit.placed for fit in fits]),
        torch.cat([fit.cost for fit in fits]),
        torch.cat([fit.converged for fit in fits]),
    )


def _replaced(fit: Fit, rows: Int[Tensor, "n"], part: Fit) -> Fit:
    """Return a fit with some of its frames replaced."""
    order = torch.arange(len(fit.cost), device=rows.device)
    order[rows] = len(fit.cost) + torch.arange(len(rows), device=rows.device)
    both = joined([fit, part])
    return Fit(both.placed[order], both.cost[order], both.converged[order])
