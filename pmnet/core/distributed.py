"""Processes that work together: started by torchrun, they share batches, samples or bodies.

There is one way to start them: an engine (lightning-fabric) that reads what the launcher has put into the
environment. A process that is alone imports it only to train.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import distributed

from pmnet.core.device import Machine, Precision, device_of, set_precision
from pmnet.core.errors import InputError

if TYPE_CHECKING:
    import lightning_fabric

T = TypeVar("T")


def world_size() -> int:
    """Return the number of processes that the launcher has started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def fabric_of(machine: Machine, precision: Precision) -> "lightning_fabric.Fabric":
    """Return the engine of this process, which is alone or one of several that a launcher started.

    On a GPU the engine computes in `precision`, with the same results in every run.
    """
    device = device_of(machine)
    set_precision(precision)
    return _engine(device, precision)


def device_among(machine: Machine, precision: Precision) -> torch.device:
    """Return the device of this process, after connecting the processes of a launcher.

    Several processes get a GPU each, or share the CPU.
    """
    if world_size() > 1:
        return fabric_of(machine, precision).device
    set_precision(precision)
    return device_of(machine)


@contextmanager
def processes(
    device: torch.device,
) -> Iterator[tuple[torch.device, distributed.ProcessGroup | None]]:
    """Yield this process's device and the group of all processes, which ends with the block.

    A process that is alone has no group. Several processes get a GPU each, or share the CPU.
    """
    if world_size() == 1:
        yield device, None
        return
    engine = _engine(device, "32-true")
    try:
        yield engine.device, distributed.group.WORLD
    finally:
        distributed.destroy_process_group()


def _engine(device: torch.device, precision: Precision) -> "lightning_fabric.Fabric":
    """Return a launched engine; several processes have then connected (NCCL on GPUs, else gloo)."""
    from lightning_fabric import Fabric  # takes a second to import
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment

    world = world_size()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    alone = [device.index] if device.index is not None else 1
    engine = Fabric(
        accelerator="cuda" if device.type == "cuda" else "cpu",
        devices=local if world > 1 else alone,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="32-true" if precision == "tf32" else precision,
        # named, else the engine takes a process that is alone in a job of SLURM for one of many
        plugins=[TorchElasticEnvironment() if world > 1 else LightningEnvironment()],
    )
    engine.launch()
    return engine


def by_first(fabric: "lightning_fabric.Fabric", action: Callable[[], T]) -> T:
    """Run `action` on the first process only, and return its result on all processes.

    An InputError of `action` is raised on all processes, so that none waits for one that has ended.
    """
    result, wrong = None, ""
    if fabric.is_global_zero:
        try:
            result = action()
        except InputError as error:
            wrong = str(error)
    result, wrong = fabric.broadcast((result, wrong))
    if wrong:
        raise InputError(wrong)
    return cast(T, result)


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process, from 0, and the number of processes that are connected."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gather_in_order(mine: list[T]) -> list[T]:
    """Return the parts of all processes in order, where process r of N has parts r, r + N, ..."""
    every: list[list[T]] = [mine] * rank_and_world_size()[1]
    if len(every) > 1:
        distributed.all_gather_object(every, mine)
    return [part for parts in zip_longest(*every) for part in parts if part is not None]
