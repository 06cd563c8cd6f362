"""The bodies as points of a space, a chunk at a time; kept while they fit a budget."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.machine import full_precision
from pmnet.memory.sharding import CHUNK
from pmnet.memory.space import Bounds, Space


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
    """Some bodies with their coordinates."""

    params: BodyParams
    coordinates: Float[Tensor, "b d"]


class Points:
    """The coordinates of bodies in a space, and the bounds on what they leave out.

    As many chunks as `cache_gib` has room for are kept; the others are made anew each time they are
    needed. Three numbers a body, the bounds, are always kept: they need whole points, once.
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
        bounds, room = [], cache_gib * 2**30
        for rows in self.chunks():
            chunk = self._make(rows)
            bounds.append(space.bounds(chunk.params, chunk.coordinates))
            room -= sum(
                4 * part.numel()
                for part in (chunk.coordinates, chunk.params.rotmats, chunk.params.betas)
            )
            if room >= 0:
                self._kept.append(chunk)
        columns = zip(*((b.residual, b.noise, b.squared) for b in bounds), strict=True)
        self.bounds = Bounds(*(torch.cat(column) for column in columns))

    def __len__(self) -> int:
        return len(self._bodies)

    def chunks(self) -> list[slice]:
        """Return the rows of each chunk; there is one, if only an empty one."""
        starts = range(0, len(self._bodies), CHUNK) or range(1)
        return [slice(s, min(s + CHUNK, len(self._bodies))) for s in starts]

    def chunk(self, index: int) -> Chunk:
        """Return a chunk, kept or made anew."""
        return self._kept[index] if index < len(self._kept) else self._make(self.chunks()[index])

    def bodies(self, rows: Int[Tensor, "n"]) -> BodyParams:
        """Return the bodies of some rows."""
        return self._moved(self._bodies[rows.to("cpu") if self._device else rows])

    def _make(self, rows: slice) -> Chunk:
        params = self._moved(self._bodies[rows])
        return Chunk(params, self.space.coordinates(params))

    def _moved(self, params: BodyParams) -> BodyParams:
        return params if self._device is None else params.to(self._device)
