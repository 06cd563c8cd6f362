"""The training loop, on lightning-fabric: one page, resumable at any step."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.files import replacing
from pmnet.images.augmentation import Labels, augment, changes_bodies
from pmnet.images.pixels import Pixels
from pmnet.losses import Truth, loss_terms, total_loss
from pmnet.memory.labels import Labeller
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.network import PMNet, unpack
from pmnet.params import Augmentation, Train
from pmnet.progress import track
from pmnet.samples import Samples


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingData:
    """Training images with their ground truth, in the order of the samples."""

    image_names: list[str]
    pixels: list[Pixels]
    truth: Truth
    joints: Literal["smpl24", "j24"]

    @staticmethod
    def of(samples: Samples, pixels: list[Pixels], prototypes: Int[Tensor, "n"]) -> "TrainingData":
        """Return samples with their images and their prototypes (the assignments of the memory)."""
        keypoints_2d = torch.cat([samples.keypoints_in_crop(), samples.keypoints_2d[..., 2:]], 2)
        truth = Truth(
            params=samples.body_params(),
            keypoints_3d=samples.keypoints_3d,
            keypoints_2d=keypoints_2d,
            has_smpl=samples.has_smpl,
            has_keypoints_3d=samples.has_keypoints_3d,
            prototype=prototypes,
        )
        return TrainingData(samples.image_name, pixels, truth, samples.about.joints)

    def __len__(self) -> int:
        return len(self.image_names)

    def images(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b 3 s s"]:
        """Return images of `rows`, with their context, with values from 0 to 1."""
        if len(self.pixels) == 1:
            return self.pixels[0].read_stored(rows).float() / 255
        ends = torch.tensor([len(pixels) for pixels in self.pixels]).cumsum(0)
        source = torch.searchsorted(ends, rows, right=True)
        side = self.pixels[0].stored_px
        images = torch.empty(len(rows), 3, side, side)
        for index, pixels in enumerate(self.pixels):
            mine = source == index
            mine_rows = rows[mine] - (ends[index] - len(pixels))
            images[mine] = pixels.read_stored(mine_rows).float() / 255
        return images


def batches(n: int, batch_size: int, seed: int, first: int, last: int) -> Iterator[Tensor]:
    """Yield the rows of steps `first` to `last`: the same rows for a step, wherever one starts.

    Each pass over the data has an order of its own; what is left of a pass is dropped.
    """
    per_pass = max(n // batch_size, 1)
    order, current = torch.empty(0, dtype=torch.long), -1
    for step in range(first, last):
        if step // per_pass != current:
            current = step // per_pass
            generator = torch.Generator().manual_seed(_mix(seed, 1, current))
            order = torch.randperm(n, generator=generator)
        start = step % per_pass * batch_size
        yield order[start : start + batch_size]


def learning_rate(step: int, options: Train) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a cosine to zero."""
    warm = min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "constant":
        return options.learning_rate * warm
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))


def train_model(
    model: PMNet,
    data: TrainingData,
    memory: PrototypeMemory,
    body: BodyModel,
    options: Train,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    log: "Log",
) -> None:
    """Train `model` in place, from `checkpoint` where there is one.

    Raises TrainingDiverged naming the batch where the loss is not a finite number.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate, fused=True)
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    engine, optimizer = fabric.setup(model, optimizer)
    body = body.to(fabric.device)
    labeller = Labeller(memory, body) if changes_bodies(options.augmentation) else None
    state: dict[str, Any] = {"model": engine, "optimizer": optimizer, "step": 0, "log": Log.empty()}
    if checkpoint.exists():
        fabric.load(checkpoint, state)
    order = batches(len(data), options.batch_size, seed, state["step"], options.steps)
    for rows in track(order, f"training seed {seed}", options.steps - state["step"]):
        step = state["step"]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        terms, loss, accuracy = _loss(
            engine, data, rows, body, labeller, options, _mix(seed, 2, step)
        )
        if not torch.isfinite(loss):
            raise TrainingDiverged(_blame(step, terms, data, rows))
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()
        state["step"] = step + 1
        log.add(state["log"], terms, loss, accuracy)
        if state["step"] % options.log_every == 0:
            log.write(state["log"], seed, state["step"])
        if state["step"] % options.checkpoint_every == 0:
            with replacing(checkpoint) as partial:
                fabric.save(partial, state)
    log.finish(state["log"])


def _loss(
    engine: Any,
    data: TrainingData,
    rows: Tensor,
    body: BodyModel,
    labeller: Labeller | None,
    options: Train,
    noise: int,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    device = body.faces.device
    images = data.images(rows).to(device, non_blocking=True)
    truth = data.truth[rows].to(device)
    images, truth = _augmented(images, truth, data, labeller, options.augmentation, noise)
    start_from = truth.prototype if options.start == "assigned" else None
    vector, scores = engine(images, start_from)
    terms = loss_terms(unpack(vector), scores, truth, body)
    accuracy = (scores.argmax(1) == truth.prototype).float().mean()
    return terms, total_loss(terms, options.loss), accuracy


def _augmented(
    images: Tensor,
    truth: Truth,
    data: TrainingData,
    labeller: Labeller | None,
    options: Augmentation,
    noise: int,
) -> tuple[Tensor, Truth]:
    """Return a batch changed at random, with the prototypes of the changed bodies."""
    generator = torch.Generator().manual_seed(noise)
    labels = Labels(truth.params, truth.keypoints_2d, truth.keypoints_3d)
    size_px = data.pixels[0].size_px
    images, labels = augment(images, labels, data.joints, size_px, options, generator)
    truth = replace(truth, **vars(labels))
    if labeller is not None:
        prototype = labeller.relabel(truth.params, truth.has_smpl, truth.prototype)
        truth = replace(truth, prototype=prototype)
    return images, truth


def _blame(step: int, terms: dict[str, Tensor], data: TrainingData, rows: Tensor) -> str:
    bad = ", ".join(name for name, value in terms.items() if not torch.isfinite(value)) or "sum"
    names = [data.image_names[row] for row in rows[:4].tolist()]
    return (
        f"the loss is NaN or infinite at step {step} (term: {bad}); the batch holds {len(rows)} samples "
        f"such as {', '.join(names)}; lower train.learning_rate or look for broken samples"
    )


def _mix(*numbers: int) -> int:
    """Return a seed that differs for different numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class Log:
    """The CSV log of all seeds: a row every so many steps, written at once so that it can be watched."""

    COLUMNS = (
        "seed",
        "step",
        "loss",
        "keypoints_3d",
        "keypoints_2d",
        "pose",
        "betas",
        "prototype",
        "accuracy",
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._finished: list[dict[str, float | int]] = []

    @staticmethod
    def empty() -> dict[str, Any]:
        """Return the log of a seed as its checkpoint holds it: rows, and sums since the last row."""
        return {"rows": [], "sums": {}, "count": 0}

    def add(
        self, log: dict[str, Any], terms: dict[str, Tensor], loss: Tensor, hits: Tensor
    ) -> None:
        """Take a step into the mean of the next row."""
        for name, value in {"loss": loss, **terms, "accuracy": hits}.items():
            log["sums"][name] = log["sums"].get(name, 0.0) + float(value.detach())
        log["count"] += 1

    def write(self, log: dict[str, Any], seed: int, step: int) -> None:
        """End a row with the means since the last one, and write the file anew, whole."""
        means = {name: round(total / log["count"], 6) for name, total in log["sums"].items()}
        log["rows"].append({"seed": seed, "step": step, **means})
        log["sums"], log["count"] = {}, 0
        self._save(log["rows"])

    def finish(self, log: dict[str, Any]) -> None:
        """Keep the rows of a seed that is trained."""
        self._finished += log["rows"]
        self._save([])

    def _save(self, rows: list[dict[str, float | int]]) -> None:
        with replacing(self._path) as partial, partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.COLUMNS)
            writer.writeheader()
            writer.writerows([*self._finished, *rows])
