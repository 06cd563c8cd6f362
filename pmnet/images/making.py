"""The images of a data set, made by worker processes with one thread each."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import torch

from pmnet.body import BodyModel
from pmnet.errors import InputError
from pmnet.images.pixels import encode, write_pixels
from pmnet.images.render import Renderer, draw_looks
from pmnet.machine import device_of, workers_of
from pmnet.params import Images, Machine
from pmnet.progress import say, track
from pmnet.samples import Samples

CPU_BATCH, GPU_BATCH = 16, 256


class _Worker:
    """Renders rows of one data set; built once a process."""

    def __init__(self, samples: Path, body: Path, options: Images, device: torch.device) -> None:
        self.samples, self.options, self.device = Samples.load(samples), options, device
        model = BodyModel.load(body).to(device)
        generator = torch.Generator().manual_seed(options.seed)
        o = options
        self.renderer = Renderer(model, o.size_px, o.supersampling, o.variety, o.seed)
        self.looks = draw_looks(len(self.samples), o.variety, o.skin_share, generator)

    def __call__(self, rows: slice) -> list[bytes]:
        params = self.samples.body_params(rows).to(self.device)
        cameras = self.samples.camera[rows].to(self.device)
        images = self.renderer(params, cameras, self.looks[rows].to(self.device))
        return encode(images.cpu(), self.options.encoding, self.options.jpeg_quality)


_worker: _Worker | None = None


def _start(samples: Path, body: Path, options: Images, device: torch.device) -> None:
    global _worker
    torch.set_num_threads(1)  # processes scale, threads of one process fight
    _worker = _Worker(samples, body, options, device)


def _render(rows: slice) -> list[bytes]:
    assert _worker is not None
    return _worker(rows)


def make_images(samples: Path, body: Path, out: Path, options: Images, machine: Machine) -> None:
    """Render one image a sample and write them as one file.

    Each image depends on the seed and its row only, not on the number of workers or the device.
    Raises InputError where there is no sample, or a sample has no camera to be rendered with.
    """
    table = Samples.load(samples)
    if not len(table):
        raise InputError(f"{samples}: no samples, so there are no images to make")
    unknown = ~torch.isfinite(table.camera).all(1)
    if unknown.any():
        row = int(unknown.nonzero()[0])
        raise InputError(f"{samples}: row {row} has no camera, so it cannot be rendered")
    device = device_of(machine)
    size = CPU_BATCH if device.type == "cpu" else GPU_BATCH
    jobs = [slice(start, min(start + size, len(table))) for start in range(0, len(table), size)]
    setup = samples, body, options, device
    batches = track(_run(jobs, workers_of(machine), setup), f"rendering {out.stem}", len(jobs))
    write_pixels(out, batches, options.size_px, options.encoding)
    say(f"{len(table)} images of {options.size_px} px -> {out}")


def _run(
    jobs: list[slice], workers: int, setup: tuple[Path, Path, Images, torch.device]
) -> Iterator[list[bytes]]:
    if setup[-1].type != "cpu" or workers == 1:
        _start(*setup)
        yield from map(_render, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start, setup) as pool:
        yield from pool.imap(_render, jobs)
