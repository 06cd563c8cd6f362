"""A tiny world of files: samples, images of noise, memories, and settings that train in seconds."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.camera import View
from pmnet.body.parts import PartWeights
from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.clustering.options import Cluster
from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.evaluation.options import Evaluate
from pmnet.images.augmentation import Augmentation
from pmnet.images.file import encode, stored_side, write_pixels
from pmnet.model.losses import LossWeights
from pmnet.training.options import Balance, Train
from pmnet.training.seed import train_seed

N, SIZE_PX = 24, 64
FILES = ("samples.arrow", "images.arrow", "memory.npz", "single.npz")
MACHINE = Machine(
    device="cpu",
    workers=1,
    threads=1,
    cache_gib=0.1,
    resident_gib=1.0,
    checkpoint_every=2,
    log_every=1,
)
CLUSTER = Cluster(
    k=3,
    limb_weight=5.0,
    part_weights=PartWeights(torso=1.0, foot=0.5, head=0.3, hand=0.3),
    max_iterations=2,
    tolerance=1e-4,
    seed=0,
    init="random",
    restarts=1,
    single="mean",
)
STILL = Augmentation(
    flip=0.0,
    rotation_deg=0.0,
    rotation_share=0.0,
    scale=0.0,
    shift=0.0,
    gain=0.0,
    clip=False,
    padding="edge",
)
SPIN = replace(STILL, flip=0.5, rotation_deg=30.0, rotation_share=0.4, scale=0.25, gain=0.4)
OPTIONS = Train(
    seeds=[0],
    encoder="squeezenet1_1",
    weights="",
    freeze_encoder=False,
    pooling=1,
    hidden=16,
    classifier_hidden=0,
    estimator_hidden=0,
    estimator="plain",
    regressor_steps=2,
    start="assigned",
    mix={},
    balance=Balance(sampling="uniform", classes=False, mse_noise=0.0),
    steps=4,
    batch_size=8,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=1,
    clip_norm=0.0,
    ema=0.0,
    soft_mm=0.0,
    precision="32-true",
    compile=False,
    loss=LossWeights(5.0, 5.0, 1.0, 0.1, 1.0, 1.0, 0.0, "known"),
    augmentation=replace(STILL, scale=0.1, shift=0.1, gain=0.2),
)


def evaluating(mean: Path, **changed: Any) -> Evaluate:
    """Return the settings of an evaluation by the skeleton; `mean` is the single memory."""
    settings: dict[str, Any] = {
        "split": "test",
        "selection": "hard",
        "also": ["soft"],
        "protocols": {"default": "skeleton"},
        "mean": str(mean),
        "distance": "as_seen",
        "extra": {},
    }
    return Evaluate(**(settings | changed))


@dataclass(frozen=True)
class World:
    """The files of one small data set and its memories."""

    samples: Path
    images: Path
    memory: Path
    single: Path
    body: Path = OPEN_BODY

    def train(self, out: Path, options: Train = OPTIONS, machine: Machine = MACHINE) -> None:
        """Train all seeds and delete their checkpoints, so that the next call trains them again."""
        self.train_once(out, options, machine)
        forget(out)

    def train_once(self, out: Path, options: Train = OPTIONS, machine: Machine = MACHINE) -> None:
        """Train all seeds as the stage does: their checkpoints are kept until they are evaluated."""
        files = [self.samples], [self.images], self.memory, self.body
        for seed in options.seeds:
            train_seed(*files, out, seed, options, machine)


def write_images(path: Path, n: int, size_px: int = SIZE_PX, context: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(5)
    side = stored_side(size_px, context)
    pixels = torch.randint(0, 256, (n, 3, side, side), generator=generator)
    encoded = encode(pixels.to(torch.uint8), "raw", 90)
    write_pixels(path, [encoded], size_px, "raw", context)


def draw_samples(body: BodyModel, n: int = N) -> Samples:
    families = dict.fromkeys(("stand", "sit", "handstand"), 1.0)
    options = synthetic.Options(
        samples=n,
        families=families,
        jitter_deg=5.0,
        betas_spread=0.5,
        view=View(15.0, 0.05, 8.0, 3.0, 0.88, 0.04, 0.04),
        seed=1,
    )
    return synthetic.read("tiny", Path(synthetic.__file__), options, body)


def write_world(folder: Path, body: BodyModel, samples: Samples | None = None) -> World:
    """Write samples (or some of the open body), images of noise, P3DH with K = 3 and one prototype."""
    world = World(*(folder / name for name in FILES))
    folder.mkdir(parents=True, exist_ok=True)
    if samples is None:
        for file, content in _usual(body.sha256):
            (folder / file).write_bytes(content)
        return world
    return _write(world, samples)


@cache
def _usual(sha256: str) -> list[tuple[str, bytes]]:
    """Return the files of the world of the open body's own samples."""
    body = BodyModel.load(OPEN_BODY)
    assert body.sha256 == sha256
    with TemporaryDirectory() as folder:
        _write(World(*(Path(folder) / name for name in FILES)), draw_samples(body))
        return [(name, (Path(folder) / name).read_bytes()) for name in FILES]


def _write(world: World, samples: Samples) -> World:
    samples.save(world.samples)
    write_images(world.images, N)
    for path, k in ((world.memory, 3), (world.single, 1)):
        options = replace(CLUSTER, k=k)
        request = MemoryRequest([world.samples], OPEN_BODY, options, "vertex", "parts", 0.1)
        build_memory(request).save(path)
    return world
