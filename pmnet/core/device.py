"""The machine that a stage runs on: nothing here changes a result."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeVar

import torch

from pmnet.core.errors import InputError

Precision = Literal["32-true", "tf32", "bf16-mixed"]


@dataclass(frozen=True)
class Machine:
    """What this machine has; no result depends on it, so no stage is rerun for it."""

    device: str
    workers: int
    threads: int
    cache_gib: float
    resident_gib: float
    checkpoint_every: int
    log_every: int


Item = TypeVar("Item")
Result = TypeVar("Result")


def device_of(machine: Machine) -> torch.device:
    """Return the device that params.yaml asks for; "auto" takes a GPU where there is one."""
    if machine.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(machine.device)
    except RuntimeError as error:
        raise InputError(f"machine.device: {error}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("machine.device is cuda, but torch sees no GPU; set it to auto or cpu")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where kernels run
    return device


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    numbers = [str(number) for number in range(torch.cuda.device_count())]
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[: len(numbers)] or numbers


def set_threads(machine: Machine) -> None:
    """Let torch use so many threads in this process; two processes of one thread beat two threads."""
    torch.set_num_threads(machine.threads)


def set_precision(precision: Precision) -> None:
    """Let a GPU convolve in the precision that is asked for, and to the same numbers in each run."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True


def workers_of(machine: Machine) -> int:
    """Return the number of worker processes; 0 means one a core, shared with other ranks here."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return machine.workers or max((os.cpu_count() or 1) // ranks, 1)


def has_kernels(device: torch.device) -> bool:
    """Return whether Triton's kernels run there: on a GPU, and anywhere while it interprets (tests)."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (device.type == "cuda" or interpreted) and find_spec("triton") is not None


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 matrices as float32 (no TF32, no bfloat16) while this is entered."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield `work` of each item, in order, as many at a time as torch has threads, each with one.

    Many small operations share a core badly: pieces of work on cores of their own take three quarters
    of the time of one after the other on all cores. The numbers are the same.
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
