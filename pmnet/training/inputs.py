"""What differs between steps: the rows, their images and the random draws."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from pmnet.images.augmentation import Draws, draw
from pmnet.training.batches import combined_seed
from pmnet.training.options import Train

if TYPE_CHECKING:
    import lightning_fabric


@dataclass(frozen=True)
class Inputs:
    """What differs between steps; the rows that are `predicted` start from the predicted prototype."""

    number: Int[Tensor, ""]
    rows: Int[Tensor, "b"]
    images: UInt8[Tensor, "b s s 3"]
    predicted: Bool[Tensor, "b"]
    draws: Draws

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order that `of` takes them."""
        return [
            *(self.number, self.rows, self.images, self.predicted),
            *(self.draws.uniform, self.draws.normal, self.draws.turned),
        ]

    @staticmethod
    def of(*tensors: Tensor) -> "Inputs":
        """Return the inputs that `tensors` lists."""
        number, rows, images, predicted, *draws = tensors
        return Inputs(number, rows, images, predicted, Draws(*draws))

    def to(self, device: torch.device) -> "Inputs":
        """Return a copy on the device; from pinned memory, so that nothing waits."""

        def moved(value: Tensor) -> Tensor:
            if value.device.type == device.type:
                return value
            return value.pin_memory().to(device, non_blocking=True)

        return Inputs.of(*map(moved, self.tensors()))


def predicted_share(step: int, options: Train) -> float:
    """Return the share of a step's samples that start from the predicted prototype."""
    shares = {"assigned": 0.0, "mean": 0.0, "predicted": 1.0, "mixed": 0.5}
    return shares.get(options.start, step / options.steps)


def inputs_of(
    number: int,
    rows: Int[Tensor, "b"],
    images: UInt8[Tensor, "b s s 3"],
    options: Train,
    seed: int,
    fabric: "lightning_fabric.Fabric",
) -> Inputs:
    """Return the inputs of a step; a sample gets the same draws, however many devices share the batch."""
    generator = torch.Generator().manual_seed(combined_seed(seed, 2, number))
    size, part = len(rows) * fabric.world_size, slice(fabric.global_rank, None, fabric.world_size)
    draws = draw(size, generator)
    predicted = torch.rand(size, generator=generator) < predicted_share(number, options)
    draws = Draws(draws.uniform[part], draws.normal[part], draws.turned[part])
    return Inputs(torch.tensor(number), rows, images, predicted[part], draws)
