"""Work of a GPU that is recorded once and replayed, and work that runs side by side."""

import os
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class CudaGraph(Generic[Result]):
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


def run_concurrently(
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
