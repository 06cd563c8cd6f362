"""The training loop, on lightning-fabric: one page, resumable at any step."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pmnet.core.device import workers_of
from pmnet.core.distributed import by_first
from pmnet.core.errors import InputError
from pmnet.core.progress import say, track
from pmnet.images.store import feed
from pmnet.model.network import PMNet
from pmnet.training.checkpoint import resume, save
from pmnet.training.inputs import inputs_of
from pmnet.training.log import Row, in_words, row
from pmnet.training.options import Train
from pmnet.training.run import TrainingRun
from pmnet.training.step import Step


class TrainingDiverged(InputError):
    """The loss or the gradient is no longer finite."""


def learning_rate(step: int, options: Train) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a cosine to zero."""
    warm = min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "constant":
        return options.learning_rate * warm
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))


def train_model(
    network: PMNet, run: TrainingRun, checkpoint: Path, log: Callable[[list[Row]], None]
) -> None:
    """Train `network` in place, from `checkpoint` if there is one; the final state is saved there too.

    On the first process, `log` is given all rows of the log each time there is a new one, and at the
    end. Raises TrainingDiverged where the loss or the gradient is not finite.
    """
    with closing(Step(network, run)) as step:
        _train(step, run, checkpoint, log)
        step.keep_average()


def _train(
    step: Step, run: TrainingRun, checkpoint: Path, log: Callable[[list[Row]], None]
) -> None:
    options, machine, fabric = run.options, run.machine, run.fabric
    done, rows_of_log = resume(step, checkpoint)
    _refuse_unshared(done, checkpoint, run)
    order = run.data.batches(options, run.seed, done)
    sight = _Sight(rows_of_log, options.batch_size, time.monotonic())
    batches = _batches(run, order) if done < options.steps else ()
    shown = track(batches, f"training seed {run.seed}", options.steps - done, sight.in_words)
    for number, (rows, images) in enumerate(shown, done):
        inputs = inputs_of(number, rows, images, options, run.seed, fabric)
        step(inputs, learning_rate(number, options))
        after = number + 1
        sight.steps = after - done
        logs = after % machine.log_every == 0
        saves = after % machine.checkpoint_every == 0 or after == options.steps
        if logs or saves or fabric.device.type == "cpu":
            _refuse_diverged(step, run)
        if logs:
            rows_of_log.append(row(run.seed, after, step.take_means()))
        if logs and fabric.is_global_zero:
            log(rows_of_log)
        if saves and fabric.is_global_zero:
            save(step, after, rows_of_log, checkpoint)
    seconds, images_seen = time.monotonic() - sight.started, sight.steps * options.batch_size
    say(f"seed {run.seed}: {images_seen} images in {seconds:.0f} s, {sight.in_words()}")
    if fabric.is_global_zero:
        log(rows_of_log)


@dataclass
class _Sight:
    """What is shown of a training: its rate, and the last row of its log."""

    rows_of_log: list[Row]
    batch_size: int
    started: float
    steps: int = 0

    def in_words(self) -> str:
        """Return the rate, the losses and the share of right prototypes."""
        rate = self.steps * self.batch_size / max(time.monotonic() - self.started, 1e-9)
        return ", ".join([f"{rate:.0f} images/s", *map(in_words, self.rows_of_log[-1:])])


def _batches(run: TrainingRun, order: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's part of each batch, with its images."""
    fabric, machine = run.fabric, run.machine
    mine = (rows[fabric.global_rank :: fabric.world_size] for rows in order)
    return feed(run.data.images, mine, fabric.device, workers_of(machine), machine.resident_gib)


def _refuse_unshared(done: int, checkpoint: Path, run: TrainingRun) -> None:
    if by_first(run.fabric, lambda: done) != done:
        raise InputError(
            f"{checkpoint}: this node does not see the checkpoint that the first node resumes from; set "
            "PMNET_WORK to a folder that all nodes share"
        )


def _refuse_diverged(step: Step, run: TrainingRun) -> None:
    """Raise TrainingDiverged where a step so far was not finite."""
    fault = step.fault()
    if fault is None:
        return
    number, terms = fault
    rows = next(run.data.batches(run.options, run.seed, number))
    names = [run.data.image_names[sample] for sample in rows[:4].tolist()]
    raise TrainingDiverged(
        f"the loss is NaN or infinite at step {number} (term: {', '.join(terms) or 'gradient'}); the "
        f"batch holds {len(rows)} samples such as {', '.join(names)}; lower train.learning_rate or look "
        "for broken samples"
    )
