"""The bodies as points of a space, a chunk at a time; kept while they fit a budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.bounds import Bounds, CentreBounds, Factor, NearestCentre, factor
from pmnet.clustering.exact.embedding import Embedding
from pmnet.clustering.exact.half_precision import (
    HalfCentreBounds,
    Halves,
    bodies_in_halves,
    scale_of,
)
from pmnet.clustering.sharding import CHUNK
from pmnet.core.cuda_graph import CudaGraph
from pmnet.core.device import full_precision, has_kernels, in_threads


@runtime_checkable
class BodySource(Protocol):
    """BodySource in memory, or in a file that is read row by row (BodyParams is one)."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows."""
        ...


@dataclass(frozen=True)
class BodySlice:
    """The bodies from `start` to `stop` of others."""

    bodies: BodySource
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows, counted from the start."""
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self))
            return self.bodies[slice(self.start + first, self.start + max(first, last))]
        return self.bodies[rows + self.start]


@dataclass(frozen=True)
class Chunk:
    """The coordinates of some bodies, and what decides most assignments: see `scores`."""

    coordinates: Float[Tensor, "b d"]
    head: Factor | Halves


N_LEADING_COORDS = 72  # the first coordinates: they decide most assignments
CPU_CHUNK, GPU_CHUNK = 1 << 16, 1 << 19
BODY = 4 * 226  # bytes


class EmbeddedBodies:
    """The coordinates of bodies in a space, and the bounds on what they leave out.

    As many chunks as `cache_gib` has room for are kept; the others are made anew each time they are
    needed. The bounds, three numbers a body, are always kept: they need whole points, once. The bodies
    come first in the budget, so that none has to be fetched again. Without a `device` the points are
    where the bodies are. `scale` is that of `halves`; None where these are not used.
    """

    @full_precision()
    def __init__(
        self,
        embedding: Embedding,
        bodies: BodySource,
        cache_gib: float,
        device: torch.device | None = None,
    ) -> None:
        self.embedding, self.space, self._bodies = embedding, embedding.space, bodies
        self.scale: float | None = None
        self._source = bodies[slice(0, 0)].betas.device
        self.device = device or self._source
        self.recorded: dict[int, CudaGraph[Any]] = {}  # what is made of K centres, by K
        cpu = self.device.type == "cpu"
        self.size, self.piece = (CPU_CHUNK, CHUNK) if cpu else (GPU_CHUNK, GPU_CHUNK)
        room, bounds = cache_gib * 2**30, []
        self.held = bodies if isinstance(bodies, BodyParams) else None  # all, where they fit
        self._filled = self.device != self._source or self.held is None
        self._filled &= len(bodies) * BODY <= room
        if self._filled:
            self.held = BodyParams(
                torch.empty(len(bodies), 24, 3, 3, device=self.device),
                torch.empty(len(bodies), 10, device=self.device),
            )
            room -= len(bodies) * BODY
        elif self.device != self._source:
            self.held = None
        self._kept: list[Chunk] = []
        pieces = self._made()
        for rows in self.chunks():
            count = len(_slices(rows.start, rows.stop, self.piece))
            made = list(islice(pieces, count))
            coordinates = torch.cat([y for y, _ in made])
            bounds.append(Bounds.cat([b for _, b in made]))
            chunk = Chunk(coordinates, self._head(coordinates, bounds[-1]))
            room -= chunk.coordinates.nbytes + chunk.head.nbytes
            if self.held is not None and not self._filled:  # they are in memory, too
                room -= len(coordinates) * BODY
            if room >= 0:
                self._kept.append(chunk)
        self.bounds = Bounds.cat(bounds)

    def _made(self) -> Iterator[tuple[Tensor, Bounds]]:
        """Yield the coordinates of the bodies, and what these leave out, piece by piece."""

        def make(rows: slice) -> tuple[Tensor, Bounds]:
            params = self._moved(self._bodies[rows])
            if self._filled and self.held:
                self.held.rotmats[rows], self.held.betas[rows] = params.rotmats, params.betas
                params = self.held[rows]
            coordinates = self.embedding.coordinates(params)
            return coordinates, self.embedding.bounds(params, coordinates)

        first, *others = _slices(0, len(self), self.piece)
        made = make(first)  # what the space needs only once is made here
        self.scale = scale_of(made[1]) if has_kernels(self.device) else None
        yield made
        in_turn = self.device.type != "cpu"
        yield from map(make, others) if in_turn else in_threads(make, others)

    def __len__(self) -> int:
        return len(self._bodies)

    def chunks(self) -> list[slice]:
        """Return the rows of each chunk; there is one, if only an empty one."""
        return _slices(0, len(self), self.size)

    def chunk(self, index: int) -> Chunk:
        """Return a chunk, kept or made anew."""
        if index < len(self._kept):
            return self._kept[index]
        rows = self.chunks()[index]
        params = self.held[rows] if self.held else self._moved(self._bodies[rows])
        coordinates = self.embedding.coordinates(params)
        return Chunk(coordinates, self._head(coordinates, self.bounds[rows]))

    @property
    def whole(self) -> bool:
        """Return whether all is kept, in one chunk, with coordinates in half precision."""
        kept = len(self._kept) == len(self.chunks()) == 1
        return kept and self.scale is not None and self.held is not None

    def bodies(self, rows: Int[Tensor, "n"]) -> BodyParams:
        """Return the bodies of some rows."""
        if self.held:  # an index takes twice the time
            parts = self.held.rotmats, self.held.betas
            return BodyParams(*(part.index_select(0, rows) for part in parts))
        return self._moved(self._bodies[rows.to(self._source)])

    def _head(self, coordinates: Tensor, b: Bounds) -> Factor | Halves:
        if self.scale is not None:
            return bodies_in_halves(coordinates, b, self.scale)
        return factor(
            coordinates[:, :N_LEADING_COORDS], b.without(coordinates[:, N_LEADING_COORDS:])
        )

    def _moved(self, params: BodyParams) -> BodyParams:
        return params if self.device == self._source else params.to(self.device)


def _slices(start: int, stop: int, size: int) -> list[slice]:
    starts = range(start, stop, size) or range(start, start + 1)
    return [slice(first, min(first + size, stop)) for first in starts]


@runtime_checkable
class LeadingCentreBounds(Protocol):
    """Centres as the other factor of the `head` of chunks."""

    def nearest(self, bodies: Any) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        ...


def leading_bounds(
    coordinates: Float[Tensor, "k d"], b: Bounds, scale: float | None
) -> LeadingCentreBounds:
    """Return centres as the other factor of the `head` of chunks; `scale` is that of the points."""
    if scale is not None:
        return HalfCentreBounds(coordinates, b, scale)
    return CentreBounds(
        coordinates[:, :N_LEADING_COORDS], b.without(coordinates[:, N_LEADING_COORDS:])
    )
