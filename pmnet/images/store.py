"""The images of several data sets in one store: read in any order, ahead of time."""

from collections.abc import Iterable, Iterator
from typing import Final

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from pmnet.core.ahead import ahead
from pmnet.images.file import Pixels

BLOCK: Final = 1024  # images per batch when all images are copied to the device


class ImageStore:
    """The images of several files, one file after the other; all have the same size."""

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
        """Return all images on a GPU; they are copied there once."""
        if self._resident is None or self._resident.device != device:
            shape = (len(self), self.side, self.side, 3)
            everything = torch.empty(shape, dtype=torch.uint8, device=device)
            blocks = torch.arange(len(self)).split(BLOCK)
            for rows, images in _streamed(self, blocks, device, workers):
                everything[rows[0] : rows[-1] + 1] = images
            self._resident = everything  # only when complete, since reading may fail
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

    A GPU holds all images where they take no more than `resident_gib`; otherwise processes read batches
    ahead while it computes.
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
    """Yield batches in order; they are copied to the device while it computes."""
    copies = torch.cuda.Stream(device)
    for rows, images in loaded(store, order, workers, pinned=True):
        with torch.cuda.stream(copies):
            there = images.to(device, non_blocking=True)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(copies)
        there.record_stream(computing)
        yield rows, there


def loaded(
    store: ImageStore, order: Iterable[Tensor], workers: int, pinned: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches in order, read ahead by processes.

    Raises InputError where an image is damaged, or a process was ended.
    """

    def read(rows: list[int]) -> tuple[Tensor, Tensor]:
        return (wanted := torch.tensor(rows)), store.read(wanted)

    return ahead(read, (rows.tolist() for rows in order), workers, "machine.workers", pinned)
