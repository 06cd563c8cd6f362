"""The engine that says which devices work together."""

import os
from collections.abc import Callable
from typing import TypeVar, cast

from lightning_fabric import Fabric

from pmnet.core.device import Machine, Precision, device_of, set_precision
from pmnet.core.errors import InputError

T = TypeVar("T")


def fabric_of(machine: Machine, precision: Precision = "32-true") -> Fabric:
    """Return the engine of this process: alone, or one of several that torchrun started.

    On a GPU its numbers are of the precision that is asked for, and the same from run to run.
    """
    device = device_of(machine)
    on_gpu = device.type == "cuda"
    set_precision(precision)
    world, local = (int(os.environ.get(f"{name}WORLD_SIZE", 1)) for name in ("", "LOCAL_"))
    alone = [device.index] if device.index is not None else 1
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=local if world > 1 else alone,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="32-true" if precision == "tf32" else precision,
    )
    fabric.launch()
    return fabric


def by_first(fabric: Fabric, action: Callable[[], T]) -> T:
    """Return on all processes what `action` returns on the first of them, the only one that runs it.

    Its InputError ends all of them: nobody waits for a process that has gone.
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
