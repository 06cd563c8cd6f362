"""Damped Gauss-Newton over pose, translation and shape, many frames at a time.

Each frame has its own damping: a step that makes the fit worse is taken back and tried again shorter. Frames
of one subject may share their betas. These are eliminated last (a Schur complement), so that a subject costs
no more than its frames; the step of a subject is accepted for all its frames or for none.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import PARENTS
from pmnet.fitting.jacobian import Forward, PointJacobian
from pmnet.fitting.observations import Observation
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.rotating import log, slope_of, turned

JOINTS: Final = len(PARENTS)
FIRST_DAMPING: Final = 1e-3  # times the diagonal
LEAST_DAMPING, MOST_DAMPING = 1e-6, 1e6
GROUND: Final = 1e-4  # on the diagonal (rad^-2, m^-2): what nothing determines stays where it is


@dataclass(frozen=True)
class Placed:
    """Bodies and where they stand: points are those of the body plus `translation` (m)."""

    params: BodyParams
    translation: Float[Tensor, "b 3"]

    def __len__(self) -> int:
        return len(self.translation)

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "Placed":
        return Placed(self.params[rows], self.translation[rows])

    @staticmethod
    def cat(parts: "list[Placed]") -> "Placed":
        """Return the bodies of all parts, in order."""
        return Placed(
            BodyParams.cat([part.params for part in parts]),
            torch.cat([part.translation for part in parts]),
        )


@dataclass(frozen=True)
class Fit:
    """Fitted bodies, their final cost, and whether they had settled before the steps ran out."""

    placed: Placed
    cost: Float[Tensor, "b"]
    converged: Bool[Tensor, "b"]


@dataclass
class _State:
    """What a step starts from; all are rows of frames, `groups` of subjects apart."""

    placed: Placed
    forward: Forward
    cost: Float[Tensor, "b"]
    gradient: Float[Tensor, "b m 3"]  # of the observation
    information: Tensor
    from_mean: Float[
        Tensor, "b j 3"
    ]  # log of the rotations from the mean, and from the middle of the limits
    from_limits: Float[Tensor, "b j 3"]


@dataclass
class _System:
    """The normal equations of B frames of G subjects."""

    motion: Float[Tensor, "b d d"]
    mixed: Float[Tensor, "b d 10"]
    shape: Float[Tensor, "b 10 10"]
    motion_slope: Float[Tensor, "b d"]
    shape_slope: Float[Tensor, "b 10"]


@dataclass(frozen=True)
class Matrices:
    """Gauss-Newton matrices of B frames: of the points alone, the Cholesky factor with priors, by betas."""

    data: Float[Tensor, "b d d"]
    factor: Float[Tensor, "b d d"]
    mixed: Float[Tensor, "b d 10"]
    shape: Float[Tensor, "b 10 10"]


class Solver:
    """Fits a body to points; one solver serves any number of frames with the same points."""

    def __init__(
        self,
        body: BodyModel,
        points: BodyPoints,
        prior: PosePrior,
        options: FitOptions,
        moves_all: bool = False,
    ) -> None:
        self.body, self.points, self.prior, self.options = body, points, prior, options
        self._jacobian = PointJacobian(body, points, moves_all)
        self._active = self._jacobian.active
        # the root has no prior
        self._posed = self._active[self._active > 0] - 1
        columns = (3 * self._posed[:, None] + torch.arange(3, device=self._posed.device)).flatten()
        self._low = prior.low.view(-1, 3)[self._posed]
        self._high = prior.high.view(-1, 3)[self._posed]
        self._precision = prior.precision[columns][:, columns]

    def solve(
        self,
        start: Placed,
        seen: Observation,
        subjects: Int[Tensor, "b"] | None = None,
        fit_shape: bool = True,
        means: Float[Tensor, "b 23 3 3"] | None = None,
    ) -> Fit:
        """Return the bodies that fit best what was seen, from a start that is roughly right.

        `subjects` numbers the subject of each frame from 0; None: each frame has betas of its own. Frames
        of one subject must start with the same betas. `means` are mean poses of the prior, one per frame, in
        place of its own.
        """
        groups = _numbered(len(start), subjects, start.translation.device)
        state = self._evaluate(start, seen, means)
        count = int(groups.max()) + 1 if len(groups) else 0
        damping = start.translation.new_full((count,), FIRST_DAMPING)
        settled = torch.zeros(count, dtype=torch.bool, device=groups.device)
        placed, cost = start, state.cost
        rows = every = torch.arange(len(start), device=groups.device)  # frames that still move
        for _ in range(self.options.iterations):
            own, own_of_row = rows, every[: len(rows)]
            if subjects is not None:
                own, own_of_row = groups[rows].unique(return_inverse=True)
            held = damping[own]
            tried = self._evaluate(
                self._stepped(state, own_of_row, held, fit_shape),
                seen.select(rows),
                None if means is None else means[rows],
            )
            gain = _sum(state.cost - tried.cost, own_of_row, len(own))
            better = gain >= 0  # false for NaN
            state = _chosen(better[own_of_row], tried, state)
            placed = _written(placed, rows, state.placed)
            cost = cost.index_copy(0, rows, state.cost)
            held = torch.where(better, held / 10, held * 10)
            damping[own] = held.clamp(min=LEAST_DAMPING)
            frames = _sum(torch.ones_like(state.cost), own_of_row, len(own))
            settled[own] = (better & (gain < self.options.tolerance * frames)) | (
                held > MOST_DAMPING
            )
            kept = (~settled[groups[rows]]).nonzero()[:, 0]
            if len(kept) == 0:
                break
            if len(kept) < len(rows):
                rows, state = rows[kept], _rows_of(state, kept)
        return Fit(placed, cost, settled[groups])

    def data_cost(
        self, placed: Placed, seen: Observation
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        """Return the cost of the observation alone, and how many numbers were observed."""
        posed = self.points.posed(self.body, placed.params) + placed.translation[:, None]
        return seen.at(posed)[0], seen.count

    def matrices(self, placed: Placed, seen: Observation) -> "Matrices":
        """Return the undamped Gauss-Newton matrices of frames, with pose prior and limits."""
        state = self._evaluate(placed, seen)
        data = self._data_matrix(state)
        system = self._system(state, fit_shape=True)
        system.motion.diagonal(dim1=1, dim2=2).add_(GROUND)
        factor = torch.linalg.cholesky_ex(system.motion)[0]
        return Matrices(data, factor, system.mixed, system.shape)

    # --- costs

    def _evaluate(
        self,
        placed: Placed,
        seen: Observation,
        means: Float[Tensor, "b 23 3 3"] | None = None,
    ) -> _State:
        forward = self._jacobian.forward(placed.params)
        cost, gradient, information = seen.at(forward.points + placed.translation[:, None])
        pose = placed.params.rotmats[:, 1:]
        own = self._means(pose) if means is None else means
        from_mean = log((own.mT @ pose)[:, self._posed])
        u = from_mean.flatten(1)
        cost = cost + 0.5 * self.options.prior * ((u @ self._precision) * u).sum(1)
        from_limits = from_mean
        if len(self.prior.means) > 1 or means is not None:
            from_limits = log((self.prior.limit_mean.mT @ pose)[:, self._posed])
        excess = from_limits - from_limits.clamp(self._low, self._high)
        cost = cost + 0.5 * self.options.limits * excess.square().sum((1, 2))
        betas = placed.params.betas
        cost = cost + 0.5 * self.options.betas * betas.square().sum(1)
        return _State(placed, forward, cost, gradient, information, from_mean, from_limits)

    def _means(self, pose: Float[Tensor, "b 23 3 3"]) -> Float[Tensor, "*b 23 3 3"]:
        if len(self.prior.means) == 1:
            return self.prior.means
        return self.prior.means[self.prior.nearest(pose)]

    # --- steps

    def _stepped(
        self,
        state: _State,
        groups: Int[Tensor, "b"],
        damping: Float[Tensor, "g"],
        fit_shape: bool,
    ) -> Placed:
        """Return the bodies after a step."""
        system = self._system(state, fit_shape)
        motion, shape = _solved(system, groups, damping, fit_shape)
        turns, shift = motion[:, :-3].unflatten(1, (-1, 3)), motion[:, -3:]
        own = state.forward.rotations[:, self._active].mT @ turns[..., None]
        rotmats = state.placed.params.rotmats.clone()
        rotmats[:, self._active] = turned(rotmats[:, self._active], own[..., 0])
        betas = state.placed.params.betas + shape[groups]
        return Placed(BodyParams(rotmats, betas), state.placed.translation + shift)

    def _system(self, state: _State, fit_shape: bool) -> _System:
        gradient, information = state.gradient, state.information
        slopes = self._jacobian.by_motion(state.forward)
        if fit_shape:
            slopes = torch.cat([slopes, self._jacobian.by_shape(state.forward)], 1)
        weighed = _weighed(slopes, information)
        whole = weighed @ slopes.mT
        down = (slopes @ gradient.mT.flatten(1)[..., None])[..., 0]
        d = self._jacobian.width
        motion, slope = whole[:, :d, :d], down[:, :d]
        self._add_prior(state, motion, slope)
        betas = state.placed.params.betas
        eye = torch.eye(10, dtype=betas.dtype, device=betas.device)
        if not fit_shape:
            none = betas.new_zeros(len(betas), d, 10)
            return _System(motion, none, eye.expand(len(betas), 10, 10), slope, 0 * betas)
        return _System(
            motion=motion,
            mixed=whole[:, :d, d:],
            shape=whole[:, d:, d:] + self.options.betas * eye,
            motion_slope=slope,
            shape_slope=down[:, d:] + self.options.betas * betas,
        )

    def _data_matrix(self, state: _State) -> Float[Tensor, "b d d"]:
        slopes = self._jacobian.by_motion(state.forward)
        return _weighed(slopes, state.information) @ slopes.mT

    def _add_prior(
        self, state: _State, motion: Float[Tensor, "b d d"], slope: Float[Tensor, "b d"]
    ) -> None:
        """Add the pose prior and the limits, whose unknowns are brought to the world frame."""
        first = 3 * (len(self._active) - len(self._posed))
        last = 3 * len(self._active)
        to_own = state.forward.rotations[:, 1:][:, self._posed].mT
        block, down = motion[:, first:last, first:last], slope[:, first:last]
        count = len(self._posed)
        turn = slope_of(state.from_mean) @ to_own
        pulled = state.from_mean.flatten(1) @ self._precision
        down += self.options.prior * (pulled.view(-1, count, 1, 3) @ turn).flatten(1)
        block += self.options.prior * _turned_precision(self._precision, turn)
        excess = state.from_limits - state.from_limits.clamp(self._low, self._high)
        if self.options.limits > 0 and (excess != 0).any():
            turn = (excess != 0)[..., None] * (slope_of(state.from_limits) @ to_own)
            down += self.options.limits * (excess[..., None, :] @ turn).flatten(1)
            blocks = block.unflatten(2, (count, 3)).unflatten(1, (count, 3))
            added = self.options.limits * (turn.mT @ turn)
            blocks.diagonal(dim1=1, dim2=3).add_(added.permute(0, 2, 3, 1))


def _turned_precision(
    precision: Float[Tensor, "d d"], turn: Float[Tensor, "b j 3 3"]
) -> Float[Tensor, "b d d"]:
    """Return T^T P T of the block diagonal T: P T a joint's columns at a time, then T^T a joint's rows."""
    b, count = turn.shape[:2]
    d = 3 * count
    columns = precision.view(d, count, 3).transpose(0, 1)
    half = columns @ turn.permute(1, 2, 0, 3).reshape(count, 3, 3 * b)
    rows = half.view(count, d, b, 3).permute(2, 1, 0, 3).reshape(b * count, 3, d)
    return (turn.reshape(b * count, 3, 3).mT @ rows).view(b, d, d)


def _weighed(slopes: Float[Tensor, "b d k"], information: Tensor) -> Float[Tensor, "b d k"]:
    """Return derivatives times the information of each point."""
    by_axis = slopes.unflatten(2, (3, -1))
    if information.ndim == 2:
        return (by_axis * information[:, None, None]).flatten(2)
    parts = (
        sum(by_axis[:, :, b] * information[:, None, :, b, a] for b in range(3)) for a in range(3)
    )
    return torch.stack([torch.as_tensor(part) for part in parts], 2).flatten(2)


def _solved(
    system: _System, groups: Int[Tensor, "b"], damping: Float[Tensor, "g"], fit_shape: bool
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "g 10"]]:
    """Return the damped steps of frames and of their subjects; NaN where a matrix has no factor."""
    diagonal = system.motion.diagonal(dim1=1, dim2=2)
    diagonal.mul_(1 + damping[groups, None]).add_(GROUND)
    factor, failed = torch.linalg.cholesky_ex(system.motion)
    if failed.any():
        factor = torch.where((failed == 0)[:, None, None], factor, torch.nan)
    count = len(damping)
    right = system.motion_slope[..., None]
    if fit_shape:
        right = torch.cat([right, system.mixed], 2)
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    slope = half[..., 0]
    if not fit_shape:
        return -_back(factor, slope), slope.new_zeros(count, 10)
    less = half[..., 1:].mT @ half
    eye = torch.eye(10, dtype=less.dtype, device=less.device)
    matrix = _sum(system.shape - less[..., 1:], groups, count) + GROUND * eye
    shape = torch.linalg.solve_ex(
        matrix, -_sum(system.shape_slope - less[..., 0], groups, count)[..., None]
    )[0][..., 0]
    moved = slope + (half[..., 1:] @ shape[groups, :, None])[..., 0]
    return -_back(factor, moved), shape


def _back(factor: Float[Tensor, "b d d"], half: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Return x with L^T x = half."""
    return torch.linalg.solve_triangular(factor.mT, half[..., None], upper=True)[..., 0]


def solved_by(
    factor: Float[Tensor, "b d d"], right: Float[Tensor, "b d k"]
) -> Float[Tensor, "b d k"]:
    """Return x with L L^T x = right; on a GPU `torch.cholesky_solve` may take one matrix after the other."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


def _sum(
    values: Float[Tensor, "b *r"], groups: Int[Tensor, "b"], count: int
) -> Float[Tensor, "g *r"]:
    """Return the sums over the frames of each of `count` subjects; `groups` has the subject of each frame."""
    return values.new_zeros(count, *values.shape[1:]).index_add_(0, groups, values)


def _numbered(
    count: int, subjects: Int[Tensor, "b"] | None, device: torch.device
) -> Int[Tensor, "b"]:
    """Return the groups of frames, 0, 1, ... without gaps."""
    if subjects is None:
        return torch.arange(count, device=device)
    return subjects.to(device).unique(return_inverse=True)[1]


def _tensors(state: _State) -> list[Tensor]:
    placed, forward = state.placed, state.forward
    parts = placed.params.rotmats, placed.params.betas, placed.translation
    points = forward.rotations, forward.joints, forward.terms, forward.points
    own = state.cost, state.gradient, state.information, state.from_mean, state.from_limits
    return [*parts, *points, *own]


def _state(tensors: list[Tensor]) -> _State:
    rotmats, betas, shift, rotations, joints, terms, points, *own = tensors
    placed = Placed(BodyParams(rotmats, betas), shift)
    cost, gradient, information, from_mean, from_limits = own
    forward = Forward(rotations, joints, terms, points)
    return _State(placed, forward, cost, gradient, information, from_mean, from_limits)


def _rows_of(state: _State, rows: Int[Tensor, "n"]) -> _State:
    return _state([values[rows] for values in _tensors(state)])


def _chosen(first: Bool[Tensor, "b"], one: _State, other: _State) -> _State:
    """Return the rows of one state where `first` is true, and of the other elsewhere."""
    if first.all():
        return one
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return _state([torch.where(first.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs])


def _written(whole: Placed, rows: Int[Tensor, "n"], part: Placed) -> Placed:
    """Return bodies of which some rows are replaced."""
    return Placed(
        BodyParams(
            whole.params.rotmats.index_copy(0, rows, part.params.rotmats),
            whole.params.betas.index_copy(0, rows, part.params.betas),
        ),
        whole.translation.index_copy(0, rows, part.translation),
    )
