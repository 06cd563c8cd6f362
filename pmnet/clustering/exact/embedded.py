"""Bodies as coordinates in a space, chunk by chunk; chunks are kept while they fit a budget."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact import chunks
from pmnet.clustering.exact.bounds import Bounds, CentreBounds, Factor, NearestCentre, factor
from pmnet.clustering.exact.embedding import Embedding
from pmnet.clustering.exact.half_precision import (
    HalfCentreBounds,
    Halves,
    bodies_in_halves,
    scale_of,
)
from pmnet.core.cuda_graph import CudaGraph
from pmnet.core.device import full_precision, has_kernels, in_threads
from pmnet.memory.spaces import Space


@runtime_checkable
class BodySource(Protocol):
    """Bodies in memory, or in a file that is read row by row (BodyParams is one)."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows."""
        ...


@dataclass(frozen=True)
class BodySlice:
    """The bodies from row `start` to row `stop` of another source."""

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


N_LEADING_COORDS = 72  # the first coordinates, which decide most assignments
CPU_CHUNK, GPU_CHUNK = 1 << 16, 1 << 19  # bodies
BODY_BYTES = 4 * 226


@dataclass(frozen=True)
class Chunk:
    """The coordinates of some bodies, and the factor that decides most assignments (see `bounds`)."""

    coordinates: Float[Tensor, "b d"]
    leading: Factor | Halves

    @property
    def nbytes(self) -> int:
        """Return how much memory the chunk takes."""
        return self.coordinates.nbytes + self.leading.nbytes


@dataclass(frozen=True, eq=False)
class EmbeddedBodies:
    """Bodies with their coordinates in a space and the bounds on what the coordinates leave out.

    The first chunks are `kept`; the others are made anew each time they are needed. The bounds, three
    numbers per body, are always kept: to make them takes whole points. `held` has all bodies on the device,
    where they fit. `scale` is the scale of `half_precision`, or None where coordinates are float32.
    """

    embedding: Embedding
    source: BodySource
    source_device: torch.device
    device: torch.device
    size: int  # bodies per chunk
    piece: int  # bodies that are embedded at a time
    held: BodyParams | None
    kept: list[Chunk]
    bounds: Bounds
    scale: float | None
    _graphs: dict[int, CudaGraph[Any]] = field(default_factory=dict)  # by K

    def __len__(self) -> int:
        return len(self.source)

    @property
    def space(self) -> Space:
        """Return the space of the embedding."""
        return self.embedding.space

    def chunks(self) -> list[slice]:
        """Return the rows of each chunk; there is one, if only an empty one."""
        return chunks.slices(0, len(self), self.size)

    def chunk(self, index: int) -> Chunk:
        """Return a chunk, kept or made anew."""
        if index < len(self.kept):
            return self.kept[index]
        rows = self.chunks()[index]
        params = self.held[rows] if self.held else self.source[rows].to(self.device)
        coordinates = self.embedding.coordinates(params)
        return _chunk(coordinates, self.bounds[rows], self.scale)

    @property
    def whole(self) -> bool:
        """Return whether all bodies are kept in one chunk, with coordinates in half precision."""
        kept = len(self.kept) == len(self.chunks()) == 1
        return kept and self.scale is not None and self.held is not None

    def bodies(self, rows: Int[Tensor, "n"]) -> BodyParams:
        """Return the bodies of some rows."""
        if self.held:  # indexing by [] takes twice the time of index_select
            parts = self.held.rotmats, self.held.betas
            return BodyParams(*(part.index_select(0, rows) for part in parts))
        return self.source[rows.to(self.source_device)].to(self.device)

    def recorded(self, k: int, work: Callable[..., Any]) -> CudaGraph[Any]:
        """Return the CUDA graph of the `work` on K centres; its first call records it."""
        return self._graphs.setdefault(k, CudaGraph(work))


@full_precision()
def embed_bodies(
    embedding: Embedding,
    bodies: BodySource,
    cache_gib: float,
    device: torch.device | None = None,
) -> EmbeddedBodies:
    """Return the bodies embedded on a `device`; without one, on the device that the bodies are on.

    Up to `cache_gib`, first the bodies are kept, then as many chunks of coordinates as fit.
    """
    source = bodies[slice(0, 0)].betas.device
    device = device or source
    cpu = device.type == "cpu"
    size, piece = (CPU_CHUNK, chunks.CHUNK) if cpu else (GPU_CHUNK, GPU_CHUNK)
    budget = cache_gib * 2**30
    in_memory = bodies if isinstance(bodies, BodyParams) and device == source else None
    copy = None
    if in_memory is None and len(bodies) * BODY_BYTES <= budget:
        budget -= len(bodies) * BODY_BYTES
        copy = _empty(len(bodies), device)

    def embed(rows: slice) -> tuple[Tensor, Bounds]:
        params = bodies[rows].to(device)
        if copy is not None:
            copy.rotmats[rows], copy.betas[rows] = params.rotmats, params.betas
            params = copy[rows]
        coordinates = embedding.coordinates(params)
        return coordinates, embedding.bounds(params, coordinates)

    first, *others = chunks.slices(0, len(bodies), piece)
    made = embed(first)  # not in a thread: the space makes here what it makes only once
    scale = scale_of(made[1]) if has_kernels(device) else None
    pieces = chain([made], in_threads(embed, others) if cpu else map(embed, others))
    kept, bounds = [], []
    for rows in chunks.slices(0, len(bodies), size):
        parts = [*islice(pieces, len(chunks.slices(rows.start, rows.stop, piece)))]
        bounds.append(Bounds.cat([b for _, b in parts]))
        chunk = _chunk(torch.cat([y for y, _ in parts]), bounds[-1], scale)
        budget -= chunk.nbytes
        if in_memory is not None:  # the bodies take memory, too
            budget -= len(chunk.coordinates) * BODY_BYTES
        if budget >= 0:
            kept.append(chunk)
    held, all_bounds = in_memory if copy is None else copy, Bounds.cat(bounds)
    return EmbeddedBodies(
        embedding, bodies, source, device, size, piece, held, kept, all_bounds, scale
    )


def _empty(count: int, device: torch.device) -> BodyParams:
    return BodyParams(
        torch.empty(count, 24, 3, 3, device=device), torch.empty(count, 10, device=device)
    )


def _chunk(coordinates: Float[Tensor, "b d"], b: Bounds, scale: float | None) -> Chunk:
    if scale is not None:
        return Chunk(coordinates, bodies_in_halves(coordinates, b, scale))
    rest = b.without(coordinates[:, N_LEADING_COORDS:])
    return Chunk(coordinates, factor(coordinates[:, :N_LEADING_COORDS], rest))


@runtime_checkable
class LeadingCentreBounds(Protocol):
    """Centres as the other factor of the `leading` coordinates of chunks."""

    def nearest(self, bodies: Any) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        ...


def leading_bounds(
    coordinates: Float[Tensor, "k d"], b: Bounds, scale: float | None
) -> LeadingCentreBounds:
    """Return the centres as a factor for chunks; `scale` is the scale of the embedded bodies."""
    if scale is not None:
        return HalfCentreBounds(coordinates, b, scale)
    return CentreBounds(
        coordinates[:, :N_LEADING_COORDS], b.without(coordinates[:, N_LEADING_COORDS:])
    )
