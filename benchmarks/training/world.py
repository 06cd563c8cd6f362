"""The data of the benchmark of training: people of the open body in JPEG files, with a memory of them.

Renders are smooth, and a smooth JPEG is small and soon decoded; so they get the grain of a photograph: a file
then takes about 4 bits a pixel, as a photograph of this quality does.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.rates import Plan
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.camera import View, crop_to_px, project
from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.clustering.options import Cluster
from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.images.file import Pixels, encode, write_pixels
from pmnet.images.making import make_images
from pmnet.images.options import Images
from pmnet.images.store import ImageStore
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.weights import load_memory
from pmnet.training.data import TrainingData, load_training_data
from pmnet.training.options import Train

PAPER: Final = Path(__file__).parents[2] / "paper/params.yaml"
GRAIN: Final = 12.0  # grey levels
GRAINS: Final = 32  # images of grain, used in turn
BATCH: Final = 128  # images that are encoded at a time


@dataclass(frozen=True)
class World:
    """The files, and the settings of the paper, but for what the benchmark changes."""

    folder: Path
    images: Images
    train: Train

    @property
    def samples(self) -> Path:
        """Return the file of samples."""
        return self.folder / "samples.arrow"

    @property
    def pixels(self) -> Path:
        """Return the file of JPEG images."""
        return self.folder / "images.arrow"

    @property
    def memory(self) -> Path:
        """Return the file of the memory."""
        return self.folder / "memory.npz"

    def opened(self) -> tuple[BodyModel, PrototypeMemory, TrainingData]:
        """Return all as the train stage opens it, but with images that nobody shares."""
        body = BodyModel.load(OPEN_BODY)
        memory = load_memory(self.memory, body)
        data = load_training_data([self.samples], [self.pixels], memory, body)
        return body, memory, replace(data, images=ImageStore([Pixels(self.pixels)]))


def world_of(folder: Path, options: argparse.Namespace) -> World:
    """Return the world of a folder: the settings of the paper at this size, in bf16 and compiled on a GPU."""
    images = replace(params.load(PAPER, "images", Images, {}), size_px=options.size_px)
    train = params.load(PAPER, "train", Train, {"encoder": options.encoder, "weights": ""})
    on_gpu = options.device.startswith("cuda")
    usual = {"precision": "bf16-mixed" if on_gpu else "32-true", "compile": on_gpu}
    return World(folder, images, replace(train, mix={}, batch_size=options.batch, **usual))


def machine_of(device: str, workers: int = 0, **change: Any) -> Machine:
    """Return the settings of a user of a GPU or a CPU, but for `change`."""
    on_gpu = device.startswith("cuda")
    machine = Machine(
        device=device,
        workers=workers,
        threads=1 if on_gpu else os.cpu_count() or 1,
        cache_gib=4.0,
        resident_gib=0.0,
        checkpoint_every=1,
        log_every=1,
    )
    return replace(machine, **change)


def make_world(world: World, samples: int, device: str, k: int) -> None:
    """Write the files, in a process of its own: it leaves nothing on the GPU."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_world, args=(world, samples, device, k))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the data of the benchmark could not be made")


def write_world(world: World, samples: int, device: str, k: int) -> None:
    """Write samples, images and the P3DH memory of `k` prototypes."""
    body = BodyModel.load(OPEN_BODY)
    _annotated(_drawn(samples, body), body).save(world.samples)
    raw = world.folder / "raw.arrow"
    machine = machine_of(device, workers=0 if samples > BATCH else 1)
    options = replace(world.images, encoding="raw")
    make_images(world.samples, OPEN_BODY, raw, options, machine, "train")
    write_pixels(world.pixels, _grainy(Pixels(raw), world.images), *_form(world.images))
    raw.unlink()
    where = torch.device(device if device.startswith("cuda") else "cpu")
    cluster = replace(params.load(PAPER, "cluster", Cluster, {}), k=k, single="mean")
    request = MemoryRequest([world.samples], OPEN_BODY, cluster, "vertex", "parts", 4.0, where)
    build_memory(request).save(world.memory)


def _form(images: Images) -> tuple[int, Any, float]:
    return images.size_px, images.encoding, images.context


def _drawn(n: int, body: BodyModel) -> Samples:
    options = synthetic.Options(
        samples=n,
        families=dict.fromkeys(synthetic.FAMILIES, 1.0),
        jitter_deg=8.0,
        betas_spread=1.0,
        view=View(90.0, 0.5, 10.0, 4.0, 0.88, 0.04, 0.04),
        seed=1,
    )
    return synthetic.read("benchmark", Path(synthetic.__file__), options, body)


def _annotated(samples: Samples, body: BodyModel) -> Samples:
    """Return the samples with the annotated joints J24, as the paper's data sets have them."""
    bodies = samples.body_params()
    parts = range(0, len(samples), BATCH)
    joints = torch.cat(
        [body.keypoints(body.vertices(bodies[slice(row, row + BATCH)])) for row in parts]
    )
    seen = torch.ones(len(samples), 24, 1)
    flat = crop_to_px(project(joints, samples.camera), samples.center, samples.scale)
    return replace(
        samples,
        about=replace(samples.about, joints="j24", measured="j14"),
        keypoints_2d=torch.cat([flat, seen], 2),
        keypoints_3d=torch.cat([joints, seen], 2),
    )


def _grainy(pixels: Pixels, images: Images) -> Iterator[list[bytes]]:
    """Yield the images, batch by batch, encoded with their grain."""
    side = pixels.stored_px
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(GRAINS, 3, side, side, generator=generator) * GRAIN

    def encoded(rows: torch.Tensor) -> list[bytes]:
        grainy = pixels.read_stored(rows) + grain[rows % GRAINS]
        return encode(grainy.clamp(0, 255).to(torch.uint8), images.encoding, images.jpeg_quality)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(encoded, torch.arange(len(pixels)).split(BATCH))


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the windows of a loop: the warm-up sees compiling, capture and the first images read."""
    return Plan(options.window, 2, max(options.steps // options.window, 1))
