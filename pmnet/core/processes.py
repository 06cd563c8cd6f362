"""Work shared by the processes that torchrun started; one that is alone does it all."""

import os
from itertools import zip_longest
from typing import TypeVar

import torch
from torch import distributed

from pmnet.core.device import Machine, device_of, set_precision

T = TypeVar("T")


def device_among(machine: Machine) -> torch.device:
    """Return this process's device, once all that torchrun started have met."""
    set_precision("32-true")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device_of(machine)
    from pmnet.core.distributed import fabric_of  # one alone needs none

    return fabric_of(machine).device


def rank_and_world_size() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gather_in_order(mine: list[T]) -> list[T]:
    """Return the parts of all processes in order; of N processes each gives every N-th part."""
    every: list[list[T]] = [mine] * rank_and_world_size()[1]
    if len(every) > 1:
        distributed.all_gather_object(every, mine)
    return [part for parts in zip_longest(*every) for part in parts if part is not None]
