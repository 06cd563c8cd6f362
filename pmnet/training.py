"""The training loop, on lightning-fabric: one page, resumable at any step."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from pmnet.batches import batches, combined_seed, mixed_batches, shares_of
from pmnet.body import BodyModel
from pmnet.errors import InputError
from pmnet.files import replacing
from pmnet.images.augmentation import Labels, augment, changes_bodies
from pmnet.images.pixels import Pixels
from pmnet.losses import Truth, loss_terms, masked_mean, total_loss
from pmnet.memory.labels import Labeller
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.network import PMNet, unpack
from pmnet.params import Augmentation, Train
from pmnet.progress import track
from pmnet.samples import JointSet, Samples


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingData:
    """Training images with their ground truth, in the order of the samples.

    `sizes` says how many samples come from each data set, in order; samples whose image is not
    `present` are never drawn.
    """

    image_names: list[str]
    pixels: list[Pixels]
    truth: Truth
    joints: JointSet
    present: Bool[Tensor, "n"]
    sizes: list[tuple[str, int]]

    @staticmethod
    def of(
        samples: Samples,
        pixels: list[Pixels],
        prototypes: Int[Tensor, "n"],
        present: Bool[Tensor, "n"],
        sizes: list[tuple[str, int]],
    ) -> "TrainingData":
        """Return samples with their images and their prototypes (-1: not assigned)."""
        keypoints_2d = torch.cat([samples.keypoints_in_crop(), samples.keypoints_2d[..., 2:]], 2)
        truth = Truth(
            params=samples.body_params(),
            keypoints_3d=samples.keypoints_3d,
            keypoints_2d=keypoints_2d,
            has_smpl=samples.has_smpl,
            has_keypoints_3d=samples.has_keypoints_3d,
            prototype=prototypes,
        )
        joints = samples.about.joints
        return TrainingData(samples.image_name, pixels, truth, joints, present, sizes)

    def __len__(self) -> int:
        return len(self.image_names)

    def batches(self, options: Train, seed: int, first: int) -> Iterator[Int[Tensor, "b"]]:
        """Yield the rows of the steps from `first` on; raises InputError for a mix that cannot be."""
        usable = self.present.nonzero()[:, 0]
        if not len(usable):
            raise InputError(
                "no training sample has an image; look where the images stage found none"
            )
        size, last = options.batch_size, options.steps
        if not options.mix:
            order = batches(len(usable), size, seed, first, last)
            return (usable[rows] for rows in order)
        groups: dict[str, Tensor] = {}
        ends = torch.tensor([n for _, n in self.sizes]).cumsum(0)
        for (name, n), end in zip(self.sizes, ends.tolist(), strict=True):
            groups[name] = usable[(usable >= end - n) & (usable < end)]
        shares = shares_of(options.mix, {name: len(rows) for name, rows in groups.items()})
        return mixed_batches(list(groups.values()), shares, size, seed, first, last)

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
    order = data.batches(options, seed, state["step"])
    for rows in track(order, f"training seed {seed}", options.steps - state["step"]):
        step = state["step"]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        terms, loss, accuracy = _loss(
            engine, data, rows, body, labeller, options, combined_seed(seed, 2, step)
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
    terms = loss_terms(unpack(vector), scores, truth, body, data.joints)
    right = (scores.argmax(1) == truth.prototype).float()
    accuracy = masked_mean(right, truth.has_smpl)
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
