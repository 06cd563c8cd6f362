"""The images of a data set, made by worker processes with one thread each."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.core.device import Machine, device_of, workers_of
from pmnet.core.errors import InputError
from pmnet.core.progress import say, track
from pmnet.data.samples import Samples
from pmnet.data.sets import Split
from pmnet.images.crops import Cropper, Missing, Reading
from pmnet.images.file import encode, stored_side, write_pixels
from pmnet.images.looks import draw_looks, seed_of
from pmnet.images.options import Images
from pmnet.images.render import Renderer

CPU_BATCH, GPU_BATCH = 16, 256
Made = tuple[list[bytes], dict[int, str]]  # encoded images, and why rows have none


class _Renders:
    """Renders rows of one data set."""

    def __init__(
        self, samples: Samples, body: Path, options: Images, split: Split, device: torch.device
    ) -> None:
        self.samples, self.device = samples, device
        model = BodyModel.load(body).to(device)
        o, seed = options, seed_of(options.seed, split)
        generator = torch.Generator().manual_seed(seed)
        side = stored_side(o.size_px, o.context)
        self.context = side / o.size_px
        self.renderer = Renderer(model, side, o.supersampling, o.variety, seed)
        self.looks = draw_looks(len(samples), o.variety, o.skin_share, generator, split)

    def __call__(self, rows: slice) -> tuple[UInt8[Tensor, "b 3 s s"], dict[int, str]]:
        params = self.samples.body_params(rows).to(self.device)
        cameras = self.samples.camera[rows].to(self.device) / self.context
        return self.renderer(params, cameras, self.looks[rows].to(self.device)).cpu(), {}


class _Worker:
    """Makes the images of rows of one data set; built once per process."""

    def __init__(
        self, samples: Path, body: Path, options: Images, split: Split, device: torch.device
    ) -> None:
        table, self.options = Samples.load(samples), options
        side = stored_side(options.size_px, options.context)
        self.source: _Renders | Cropper = (
            Cropper(table, side, side / options.size_px, _reading(table, options))
            if table.about.pixels == "files"
            else _Renders(table, body, options, split, device)
        )

    def __call__(self, rows: slice) -> Made:
        images, problems = self.source(rows)
        return encode(images, self.options.encoding, self.options.jpeg_quality), problems


def _reading(table: Samples, options: Images) -> Reading:
    upright = table.about.dataset in (options.upright or ())
    return Reading(upright, options.max_megapixels)


_worker: _Worker | InputError | None = None


def _start(samples: Path, body: Path, options: Images, split: Split, device: torch.device) -> None:
    global _worker
    torch.set_num_threads(1)  # there is one process per core
    try:
        _worker = _Worker(samples, body, options, split, device)
    except InputError as error:  # a pool would print it with its traceback
        _worker = error


def _make(rows: slice) -> Made:
    assert _worker is not None
    if isinstance(_worker, InputError):
        raise _worker
    return _worker(rows)


def make_images(
    samples: Path, body: Path, out: Path, options: Images, machine: Machine, split: Split
) -> None:
    """Render or crop one image per sample and write them as one file.

    An image depends only on the seed, the split and its row, not on the number of workers or the device.
    Raises InputError where there are no samples, a sample to be rendered has no camera, or more files
    are missing or broken than `options.max_missing` allows.
    """
    table = Samples.load(samples)
    if not len(table):
        raise InputError(f"{samples}: no samples, so there are no images to make")
    cropped = table.about.pixels == "files"
    device = torch.device("cpu") if cropped else device_of(machine)
    if not cropped:
        _check_cameras(samples, table)
    missing = Missing(samples, table, options.max_missing) if cropped else None
    size = CPU_BATCH if device.type == "cpu" else GPU_BATCH
    jobs = [slice(start, min(start + size, len(table))) for start in range(0, len(table), size)]
    made = _run(jobs, min(workers_of(machine), len(jobs)), (samples, body, options, split, device))
    what = f"{'cropping' if cropped else 'rendering'} {out.stem}"
    batches = _without(missing, jobs, track(made, what, len(jobs)))
    write_pixels(out, batches, options.size_px, options.encoding, options.context)
    if missing is not None:
        missing.report()
    say(f"{len(table)} images of {options.size_px} px -> {out}")


def _check_cameras(file: Path, table: Samples) -> None:
    unknown = ~torch.isfinite(table.camera).all(1)
    if unknown.any():
        row = int(unknown.nonzero()[0])
        raise InputError(f"{file}: row {row} has no camera, so it cannot be rendered")


def _without(
    missing: Missing | None, jobs: list[slice], made: Iterator[Made]
) -> Iterator[list[bytes | None]]:
    """Yield the encoded images of each job; None for a missing image."""
    for rows, (encoded, problems) in zip(jobs, made, strict=True):
        if missing is not None:
            missing.add(problems)
        yield [
            None if row in problems else image
            for row, image in zip(range(rows.start, rows.stop), encoded, strict=True)
        ]


def _run(
    jobs: list[slice], workers: int, setup: tuple[Path, Path, Images, Split, torch.device]
) -> Iterator[Made]:
    if setup[-1].type != "cpu" or workers == 1:
        _start(*setup)
        yield from map(_make, jobs)
        return
    context = multiprocessing.get_context("fork")  # torch takes seconds to import again
    pool = ProcessPoolExecutor(workers, context, _start, setup)
    try:
        yield from pool.map(_make, jobs)
    except BrokenProcessPool:
        raise InputError(
            "a process that makes images was ended, probably for want of memory; set machine.workers to a "
            "smaller number"
        ) from None
    finally:  # an error ends the work: nothing more is begun
        pool.shutdown(cancel_futures=True)
