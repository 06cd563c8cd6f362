"""CUDA graphs: work of a GPU that is recorded once and replayed, and work that runs side by side."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class CudaGraph(Generic[Result]):
    """Work on tensors of a GPU that is recorded and then replayed.

    Launching a graph costs the CPU as little as launching one kernel, instead of hundreds. The work must not
    read a value of the GPU on the CPU. Its inputs are copied into tensors that stay where they are; its
    result is overwritten by the next call. With PMNET_GRAPHS=0 nothing is recorded.

    Each call runs the work once. Work with side effects, such as a step of training, takes `eager_calls`
    calls before it is recorded, in which all memory is allocated that later calls use. Work without side
    effects is recorded at the first call, after a rehearsal.
    """

    def __init__(self, work: Callable[..., Result], eager_calls: int = 0) -> None:
        self._work, self._eager_calls = work, eager_calls
        self._rehearses = eager_calls == 0
        self._inputs: list[torch.Tensor] = []
        self._graph: Any = None

    def __call__(self, *inputs: torch.Tensor) -> Result:
        """Return the result for tensors with the shapes of the first call."""
        if os.environ.get("PMNET_GRAPHS") == "0":
            return self._work(*inputs)
        if not self._inputs:
            self._inputs = [given.clone() for given in inputs]
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        if self._eager_calls > 0:
            self._eager_calls -= 1
            return self._on_another_stream()
        if self._graph is None:
            self._record()
        self._graph.replay()
        return self._result

    def close(self) -> None:
        """Drop the graph: processes that use NCCL hang at exit while a graph holds a collective."""
        self._graph = None

    def _record(self) -> None:
        if self._rehearses:  # compiles kernels and initialises libraries
            self._on_another_stream()
        graph = torch.cuda.CUDAGraph()
        # other threads, such as those of NCCL, may call CUDA meanwhile
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._work(*self._inputs)
        self._graph = graph

    def _on_another_stream(self) -> Result:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            result = self._work(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        return result


def run_concurrently(
    device: torch.device, one: Callable[[], Result], other: Callable[[], Item]
) -> tuple[Result, Item]:
    """Return the results of two pieces of work; a GPU runs them at the same time, on two streams."""
    if device.type != "cuda":
        return one(), other()
    here, side = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
    side.wait_stream(here)
    with torch.cuda.stream(side):
        first = one()
    second = other()
    here.wait_stream(side)
    return first, second


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
