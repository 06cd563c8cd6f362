"""The training loop, on lightning-fabric: one page, resumable at any step."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.core.device import Machine, workers_of
from pmnet.core.distributed import by_first
from pmnet.core.errors import InputError
from pmnet.core.progress import say, track
from pmnet.images.augmentation import changes_bodies
from pmnet.images.store import feed
from pmnet.memory.nearest import NearestPrototype
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet
from pmnet.training.checkpoint import resume, save
from pmnet.training.classes import classes_of
from pmnet.training.data import TrainingData
from pmnet.training.inputs import inputs_of
from pmnet.training.log import MEASURES, Log, row
from pmnet.training.options import Train
from pmnet.training.step import Step


class TrainingDiverged(InputError):
    """The loss is no longer a number."""


def learning_rate(step: int, options: Train) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a cosine to zero."""
    warm = min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "constant":
        return options.learning_rate * warm
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))


def train_model(
    network: PMNet,
    data: TrainingData,
    memory: PrototypeMemory,
    body: BodyModel,
    options: Train,
    machine: Machine,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    log: Log,
) -> None:
    """Train `network` in place, from `checkpoint` where there is one; its last state is one, too.

    Raises TrainingDiverged naming the batch where the loss is not a finite number.
    """
    with closing(_ready(network, data, memory, body, options, machine, fabric)) as step:
        _train(step, data, options, machine, seed, checkpoint, log)


def _train(
    step: Step,
    data: TrainingData,
    options: Train,
    machine: Machine,
    seed: int,
    checkpoint: Path,
    log: Log,
) -> None:
    fabric = step.fabric
    done, rows_of_log = resume(step, checkpoint)
    _refuse_apart(done, checkpoint, fabric)
    order, started = data.batches(options, seed, done), time.monotonic()
    batches = _batches(data, order, fabric, machine) if done < options.steps else ()
    for number, (rows, images) in enumerate(
        track(batches, f"training seed {seed}", options.steps - done), done
    ):
        step(inputs_of(number, rows, images, options, seed, fabric), learning_rate(number, options))
        after = number + 1
        logs = after % machine.log_every == 0
        saves = after % machine.checkpoint_every == 0 or after == options.steps
        if logs or saves or fabric.device.type == "cpu":
            _refuse_broken(step, data, options, seed)
        if logs:
            rows_of_log.append(row(seed, after, (step.sums / step.count).tolist()))
            step.sums.zero_()
            step.count = 0
            log.write(rows_of_log)
        if saves and fabric.is_global_zero:
            save(step, after, rows_of_log, checkpoint)
    say(f"seed {seed}: {_rate(started, (options.steps - done) * options.batch_size)}")
    log.finish(rows_of_log)
    for weight, mean in zip(step.weights, step.average, strict=False):
        weight.data.copy_(mean)


def _rate(started: float, images: int) -> str:
    seconds = time.monotonic() - started
    return f"{images} images in {seconds:.0f} s, {images / seconds:.0f} a second"


def _ready(
    network: PMNet,
    data: TrainingData,
    memory: PrototypeMemory,
    body: BodyModel,
    options: Train,
    machine: Machine,
    fabric: Fabric,
) -> Step:
    """Return the step, with all that it works on put on the device."""
    device = fabric.device
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.encoder.requires_grad_(not options.freeze_encoder)
    network.encoder.train(not options.freeze_encoder)
    on_gpu = device.type == "cuda"
    rate = torch.tensor(options.learning_rate, device=device) if on_gpu else options.learning_rate
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=rate, fused=True, capturable=on_gpu)
    body = body.to(device)
    labeller = NearestPrototype(memory, body) if changes_bodies(options.augmentation) else None
    classes = classes_of(memory, body, options)
    truth, size_px = data.truth.to(device), data.images.size_px
    step = Step(
        network, optimizer, truth, data.joints, size_px, body, labeller, classes, options, fabric
    )
    if options.compile:
        step.compile()
    return step


def _batches(
    data: TrainingData, order: Iterable[Tensor], fabric: Fabric, machine: Machine
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's part of each batch, with its images."""
    mine = (rows[fabric.global_rank :: fabric.world_size] for rows in order)
    return feed(data.images, mine, fabric.device, workers_of(machine), machine.resident_gib)


def _refuse_apart(done: int, checkpoint: Path, fabric: Fabric) -> None:
    if by_first(fabric, lambda: done) != done:
        raise InputError(
            f"{checkpoint}: this node does not see the checkpoint that the first node goes on from; set "
            "PMNET_WORK to a folder that all nodes share"
        )


def _refuse_broken(step: Step, data: TrainingData, options: Train, seed: int) -> None:
    """Raise TrainingDiverged where the loss of a step so far was not a number."""
    number = int(step.broken)
    if number < 0:
        return
    blame = dict(zip(MEASURES, step.blame.tolist(), strict=True))
    bad = [name for name, value in blame.items() if not math.isfinite(value) and name != "loss"]
    rows = next(data.batches(options, seed, number))
    names = [data.image_names[sample] for sample in rows[:4].tolist()]
    raise TrainingDiverged(
        f"the loss is NaN or infinite at step {number} (term: {', '.join(bad) or 'gradient'}); the batch "
        f"holds {len(rows)} samples such as {', '.join(names)}; lower train.learning_rate or look "
        "for broken samples"
    )
