"""Centres, prepared to be compared with many bodies."""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.machine import Recorded, on_cores
from pmnet.memory.points import HeadScores, Points, head_scores
from pmnet.memory.scores import Scores
from pmnet.memory.space import Space

# bodies whose whole points are made at a time, and centres whose points are kept
CPU_MADE, GPU_MADE = 2048, 1 << 14
CPU_PART = 64  # bodies whose whole points a core makes at a time


class Centres:
    """Centres to be compared with points: by the first coordinates, by all, and whole."""

    def __init__(self, points: Points, params: BodyParams) -> None:
        self.points, self.params = points, params
        self.made = CPU_MADE if points.device.type == "cpu" else GPU_MADE
        made = self._prepared(params.rotmats, params.betas)
        self._whole, self.all, self.head, self.noise = made

    def _prepared(self, rotmats: Tensor, betas: Tensor) -> "_Prepared":
        k, points = len(betas), self.points
        work = partial(_prepare, points.space, points.scale, k <= self.made)
        if points.device.type != "cuda" or points.scale is None:
            return work(rotmats, betas)
        return points.recorded.setdefault(k, Recorded(work))(rotmats, betas)

    @property
    def in_halves(self) -> bool:
        """Return whether the first coordinates are in half precision."""
        return not isinstance(self.head, Scores)

    def whole(self, rows: Int[Tensor, "m"]) -> tuple[Float[Tensor, "c p"], Int[Tensor, "m"]]:
        """Return whole points in float32 among which those of `rows` are, and where."""
        if self._whole is not None:
            return self._whole, rows
        some, where = rows.unique(return_inverse=True)
        return self.points.space.embed(self.params[some]), where


_Prepared = tuple[Tensor | None, Scores, HeadScores, Tensor]


def _prepare(
    space: Space, scale: float | None, keep: bool, rotmats: Tensor, betas: Tensor
) -> _Prepared:
    """Return what is known of centres: the whole points, if kept, both kinds of scores, the noise."""
    params = BodyParams(rotmats, betas)
    whole = _embedded(space, params) if keep else None
    y = space.coordinates(params)
    bounds = space.bounds(params, y, whole)
    return whole, Scores(y, bounds), head_scores(y, bounds, scale), space.noise_of(params)


def _embedded(space: Space, params: BodyParams) -> Float[Tensor, "k p"]:
    """Return the whole points, made on all cores of a CPU."""
    if params.betas.device.type != "cpu":
        return space.embed(params)
    parts = [
        params[slice(first, first + CPU_PART // 2)]
        for first in range(0, len(params), CPU_PART // 2)
    ]
    return torch.cat(list(on_cores(space.embed, parts, params.betas.device)))
