"""The machine that a stage runs on: its device, threads and worker processes."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypeVar

import torch
from annotated_types import Interval

from pmnet.core.errors import InputError
from pmnet.core.ranges import Count, Weight

Precision = Literal["32-true", "tf32", "bf16-mixed"]
OTHER_GPUS = ("mps", "xpu", "hip", "rocm")


@dataclass(frozen=True)
class Machine:
    """How a stage uses this machine; no result depends on it, so no stage is rerun for it.

    `checkpoint_every` and `log_every` are steps of training. `slurm` is read by `pmnet.runs.slurm`.
    """

    device: str
    workers: Annotated[int, Interval(ge=0, le=1024)]
    threads: Annotated[int, Interval(ge=1, le=1024)]
    cache_gib: Weight
    resident_gib: Weight
    checkpoint_every: Count
    log_every: Count
    slurm: dict[str, Any] = field(default_factory=dict)


Item = TypeVar("Item")
Result = TypeVar("Result")


def device_of(machine: Machine) -> torch.device:
    """Return the device of `machine.device`; "auto" is a GPU where there is one.

    Raises InputError for a device that pmnet does not compute on, and for a GPU that torch does not see.
    """
    name = machine.device
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise InputError(
            f"machine.device is {name!r:.50}; pmnet computes on auto, cpu, cuda or cuda:N only"
            + (", not on this kind of GPU: set it to cpu" if name in OTHER_GPUS else "")
        )
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"machine.device is {name}, but torch sees no GPU; set it to auto or cpu")
    if device.type == "cuda" and device.index is not None:
        if device.index >= (count := torch.cuda.device_count()):
            raise InputError(f"machine.device is {name}, but torch sees {count} GPUs, from cuda:0")
        torch.cuda.set_device(device)  # where kernels run
    return device


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as values for CUDA_VISIBLE_DEVICES."""
    numbers = [str(number) for number in range(torch.cuda.device_count())]
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[: len(numbers)] or numbers


def set_threads(machine: Machine) -> None:
    """Set the number of torch threads; two processes of one thread each beat one of two threads."""
    torch.set_num_threads(machine.threads)


def set_precision(precision: Precision) -> None:
    """Set whether a GPU may convolve in TF32, and make convolutions give the same result in every run."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True


def workers_of(machine: Machine) -> int:
    """Return the number of worker processes; 0 means one per core, divided among the local ranks."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return machine.workers or max((os.cpu_count() or 1) // ranks, 1)


def has_kernels(device: torch.device) -> bool:
    """Return whether Triton kernels run on a device: on a GPU, and on any device in interpreter mode."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (device.type == "cuda" or interpreted) and find_spec("triton") is not None


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 matrices in full float32 (no TF32, no bfloat16) inside the block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield `work(item)` of each item, in order; as many items at a time as torch has threads.

    Each item is worked on with one torch thread. For many small operations this takes three quarters of
    the time of one item after the other on all cores, and gives the same results.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        yield from map(work, items)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, items)
    finally:
        torch.set_num_threads(threads)
