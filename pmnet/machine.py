"""The machine that a stage runs on: nothing here changes a result."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Generic, TypeVar

import torch

from pmnet.errors import InputError
from pmnet.params import Machine

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


def set_precision(machine: Machine) -> None:
    """Let a GPU convolve in the precision that is asked for, and to the same numbers in each run."""
    torch.backends.cudnn.allow_tf32 = machine.precision == "tf32"
    torch.backends.cudnn.deterministic = True


def workers_of(machine: Machine) -> int:
    """Return the number of worker processes; 0 means one a core, shared with other ranks here."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return machine.workers or max((os.cpu_count() or 1) // ranks, 1)


def has_kernels(device: torch.device) -> bool:
    """Return whether Triton's kernels run there: on a GPU, and anywhere while it interprets (tests)."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (device.type == "cuda" or interpreted) and find_spec("triton") is not None


class Recorded(Generic[Result]):
    """Work on tensors of a GPU, recorded at its first call and replayed afterwards (a CUDA graph).

    Hundreds of small operations then cost the CPU one launch. The work must not look at a number of
    the GPU, and its result is overwritten by the next call. With PMNET_GRAPHS=0 nothing is recorded.
    """

    def __init__(self, work: Callable[..., Result]) -> None:
        self._work = work
        self._inputs: list[torch.Tensor] = []

    def __call__(self, *inputs: torch.Tensor) -> Result:
        """Return the result for tensors of the shapes of the first call."""
        if os.environ.get("PMNET_GRAPHS") == "0":
            return self._work(*inputs)
        if not self._inputs:
            self._record(inputs)
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._result

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        held = [given.clone() for given in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # kernels are compiled and libraries made ready
            self._work(*held)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = self._work(*held)
        self._inputs = held


def beside(
    device: torch.device, one: Callable[[], Result], other: Callable[[], Item]
) -> tuple[Result, Item]:
    """Return what two pieces of work find; a GPU does them at the same time, so that it is filled."""
    if device.type != "cuda":
        return one(), other()
    here, aside = torch.cuda.current_stream(), _aside(torch.cuda.current_device())
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        found = one()
    also = other()
    here.wait_stream(aside)
    return found, also


@cache
def _aside(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


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
