"""The images of several data sets as one, read in any order by several threads."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from pmnet.images.pixels import Pixels

PART: Final = 16  # images that a thread reads at a time
AHEAD: Final = 6  # batches that are read before they are asked for
BLOCK: Final = 4096  # images on their way to the device when all are put there


class ImageStore:
    """Images of the same size, those of one file after those of the one before."""

    def __init__(self, pixels: list[Pixels]) -> None:
        self.pixels = pixels
        self._ends = torch.tensor([len(part) for part in pixels]).cumsum(0)
        self.size_px, self.side = pixels[0].size_px, pixels[0].stored_px
        self.present: Bool[Tensor, "n"] = torch.cat([part.present for part in pixels])
        self._resident: UInt8[Tensor, "n s s 3"] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def gib(self) -> float:
        """Return the memory (GiB) that all images take when decoded."""
        return len(self) * self.side**2 * 3 / 2**30

    def fill(self, rows: Int[Tensor, "n"], out: UInt8[Tensor, "n s s 3"]) -> None:
        """Write the images of `rows`, with their context, to `out`."""
        if len(self.pixels) == 1:
            self.pixels[0].fill(rows, out)
            return
        source = torch.searchsorted(self._ends, rows, right=True)
        for index in source.unique().tolist():
            mine = (source == index).nonzero()[:, 0]
            part = self.pixels[index]
            images = torch.empty(len(mine), *out.shape[1:], dtype=torch.uint8)
            part.fill(rows[mine] - (self._ends[index] - len(part)), images)
            out[mine] = images

    def on(self, device: torch.device, workers: int) -> UInt8[Tensor, "n s s 3"]:
        """Return all images on a GPU, put there once."""
        if self._resident is None or self._resident.device != device:
            shape = (len(self), self.side, self.side, 3)
            self._resident = torch.empty(shape, dtype=torch.uint8, device=device)
            blocks = torch.arange(len(self)).split(BLOCK)
            for rows, images in _streamed(self, blocks, device, workers):
                self._resident[rows[0] : rows[-1] + 1] = images
        return self._resident

    def read(self, rows: Int[Tensor, "n"]) -> UInt8[Tensor, "n s s 3"]:
        """Return the images of `rows`."""
        images = torch.empty(len(rows), self.side, self.side, 3, dtype=torch.uint8)
        self.fill(rows, images)
        return images


def feed(
    store: ImageStore,
    order: Iterable[Int[Tensor, "b"]],
    device: torch.device,
    workers: int,
    resident_gib: float,
) -> Iterator[tuple[Int[Tensor, "b"], UInt8[Tensor, "b s s 3"]]]:
    """Yield the rows and images of each batch, the images on the device.

    A GPU holds all images when they take no more than `resident_gib`; else threads read batches ahead
    into pinned memory while it computes.
    """
    if device.type == "cpu":
        yield from ((rows, store.read(rows)) for rows in order)
    elif store.gib <= resident_gib:
        images = store.on(device, workers)
        for rows in order:
            yield rows, images[rows.pin_memory().to(device, non_blocking=True)]
    else:
        yield from _streamed(store, order, device, workers)


def _streamed(
    store: ImageStore, order: Iterable[Tensor], device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches in order, read AHEAD of time by threads: decoding leaves Python's lock free."""
    copies = torch.cuda.Stream(device)
    pending: deque[_Batch] = deque()
    spare: list[_Slot] = []
    # one thread of torch in each of them: they are as many as there are cores
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def first() -> tuple[Tensor, Tensor]:
            batch = pending.popleft()
            spare.append(batch.slot)
            return batch.rows, batch.to(device, copies)

        for rows in order:
            slot = spare.pop() if spare else _Slot(store, len(rows))
            pending.append(slot.start(store, rows, pool))
            if len(pending) == AHEAD:
                yield first()
        while pending:
            yield first()


class _Slot:
    """Pinned memory of one batch, used again once its copy to the device is done."""

    def __init__(self, store: ImageStore, size: int) -> None:
        shape = (size, store.side, store.side, 3)
        self.images = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self.copied = torch.cuda.Event()

    def start(self, store: ImageStore, rows: Tensor, pool: ThreadPoolExecutor) -> "_Batch":
        """Let the threads read `rows` into this memory."""
        self.copied.synchronize()
        parts = zip(rows.split(PART), self.images[: len(rows)].split(PART), strict=True)
        return _Batch(rows, self, [pool.submit(store.fill, *part) for part in parts])


class _Batch:
    """A batch on its way."""

    def __init__(self, rows: Tensor, slot: _Slot, parts: list["Future[None]"]) -> None:
        self.rows, self.slot, self._parts = rows, slot, parts

    def to(self, device: torch.device, copies: torch.cuda.Stream) -> Tensor:
        """Return the images on the device, once they are read; the copy runs beside the computing."""
        for part in self._parts:
            part.result()
        with torch.cuda.stream(copies):
            images = self.slot.images[: len(self.rows)].to(device, non_blocking=True)
            self.slot.copied.record()
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(copies)
        images.record_stream(computing)
        return images
