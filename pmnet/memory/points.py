"""The bodies as points of a space, a chunk at a time; kept while they fit a budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.machine import full_precision, in_threads
from pmnet.memory.sharding import CHUNK
from pmnet.memory.space import UP, Bounds, Space


@runtime_checkable
class Bodies(Protocol):
    """Bodies in memory, or in a file that is read row by row (BodyParams is one)."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows."""
        ...


@dataclass(frozen=True)
class Chunk:
    """Some bodies with their coordinates, and what decides most assignments: see `factor`."""

    params: BodyParams
    coordinates: Float[Tensor, "b d"]
    head: Float[Tensor, "b h"]


HEAD = 72  # the first coordinates: they decide most assignments
GPU_CHUNK = 1 << 17
UNIT = 2.0**-24  # rounding of one float32 operation


def gamma(terms: int) -> float:
    """Return the bound on the rounding of a float32 product of so many terms, summed in any order."""
    terms += 8  # the terms of the bounds, and what is added
    return terms * UNIT / (1 - terms * UNIT)


def factor(coordinates: Float[Tensor, "b d"], b: Bounds) -> Float[Tensor, "b d+3"]:
    """Return the bodies' factor of the product of `assignment.Scores`: coordinates, and their bounds."""
    norm = coordinates.norm(dim=1)
    noise = b.noise + gamma(coordinates.shape[1]) * norm
    bounds = torch.stack([b.residual, noise, norm + b.noise], 1)
    return torch.cat([coordinates, UP * bounds], 1)


class Points:
    """The coordinates of bodies in a space, and the bounds on what they leave out.

    As many chunks as `cache_gib` has room for are kept; the others are made anew each time they are
    needed. The bounds, three numbers a body, are always kept: they need whole points, once.
    """

    @full_precision()
    def __init__(
        self,
        space: Space,
        bodies: Bodies,
        cache_gib: float,
        device: torch.device | None = None,
    ) -> None:
        self.space, self._bodies = space, bodies
        self._device = device
        self._kept: list[Chunk] = []
        self.size = CHUNK if device is None else GPU_CHUNK
        room, bounds = cache_gib * 2**30, []
        for chunk, bound in self._made():
            bounds.append(bound)
            kept = chunk.coordinates, chunk.head, chunk.params.rotmats, chunk.params.betas
            room -= sum(4 * part.numel() for part in kept)
            if room >= 0:
                self._kept.append(chunk)
        columns = zip(*((b.residual, b.noise, b.squared) for b in bounds), strict=True)
        self.bounds = Bounds(*(torch.cat(column) for column in columns))

    def _made(self) -> Iterator[tuple[Chunk, Bounds]]:
        def make(rows: slice) -> tuple[Chunk, Bounds]:
            params = self._moved(self._bodies[rows])
            coordinates = self.space.coordinates(params)
            bounds = self.space.bounds(params, coordinates)
            return _chunk(params, coordinates, bounds), bounds

        first, *others = self.chunks()
        yield make(first)  # what the space needs only once is made here
        yield from map(make, others) if self._device else in_threads(make, others)

    def __len__(self) -> int:
        return len(self._bodies)

    def chunks(self) -> list[slice]:
        """Return the rows of each chunk; there is one, if only an empty one."""
        starts = range(0, len(self._bodies), self.size) or range(1)
        return [slice(s, min(s + self.size, len(self._bodies))) for s in starts]

    def chunk(self, index: int) -> Chunk:
        """Return a chunk, kept or made anew."""
        if index < len(self._kept):
            return self._kept[index]
        rows = self.chunks()[index]
        params = self._moved(self._bodies[rows])
        return _chunk(params, self.space.coordinates(params), self.bounds[rows])

    def bodies(self, rows: Int[Tensor, "n"]) -> BodyParams:
        """Return the bodies of some rows."""
        return self._moved(self._bodies[rows.to("cpu") if self._device else rows])

    def _moved(self, params: BodyParams) -> BodyParams:
        return params if self._device is None else params.to(self._device)


def _chunk(params: BodyParams, coordinates: Tensor, bounds: Bounds) -> Chunk:
    head, tail = coordinates[:, :HEAD], coordinates[:, HEAD:]
    return Chunk(params, coordinates, factor(head, bounds.without(tail)))
