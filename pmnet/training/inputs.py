"""What differs between steps: rows, their images, and the random draws of a step."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, UInt8
from lightning_fabric import Fabric
from torch import Tensor

from pmnet.images.augmentation import Draws, draw
from pmnet.training.batches import combined_seed
from pmnet.training.options import Train


@dataclass(frozen=True)
class Inputs:
    """What differs between steps; `predicted` rows start from the prototype that the network says."""

    number: Int[Tensor, ""]
    rows: Int[Tensor, "b"]
    images: UInt8[Tensor, "b s s 3"]
    draws: Draws
    predicted: Bool[Tensor, "b"]

    def to(self, device: torch.device) -> "Inputs":
        """Return a copy on the device; from pinned memory, so that nothing waits."""

        def moved(value: Tensor) -> Tensor:
            if value.device.type == device.type:
                return value
            return value.pin_memory().to(device, non_blocking=True)

        draws = Draws(*map(moved, vars(self.draws).values()))
        plain = (moved(v) for k, v in vars(self).items() if k != "draws")
        number, rows, images, predicted = plain
        return Inputs(number, rows, images, draws, predicted)

    def take(self, other: "Inputs") -> None:
        """Copy the values of other inputs into these tensors."""
        for mine, theirs in zip(self._tensors(), other._tensors(), strict=True):
            mine.copy_(theirs)

    def _tensors(self) -> list[Tensor]:
        plain = [v for k, v in vars(self).items() if k != "draws"]
        return [*plain, *vars(self.draws).values()]


def predicted_share(step: int, options: Train) -> float:
    """Return how many of a step's samples start from the prototype that the network says."""
    shares = {"assigned": 0.0, "mean": 0.0, "predicted": 1.0, "mixed": 0.5}
    return shares.get(options.start, step / options.steps)


def inputs_of(
    number: int,
    rows: Int[Tensor, "b"],
    images: UInt8[Tensor, "b s s 3"],
    options: Train,
    seed: int,
    fabric: Fabric,
) -> Inputs:
    """Return what differs between steps: the same draws for a sample, however many devices share it."""
    generator = torch.Generator().manual_seed(combined_seed(seed, 2, number))
    size, part = len(rows) * fabric.world_size, slice(fabric.global_rank, None, fabric.world_size)
    draws = draw(size, generator)
    predicted = torch.rand(size, generator=generator) < predicted_share(number, options)
    draws = Draws(*(value[part] for value in vars(draws).values()))
    return Inputs(torch.tensor(number), rows, images, draws, predicted[part])
