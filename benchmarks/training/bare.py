"""The rate of the bare encoder: forward, backward and Adam on one batch that is on the device already."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from benchmarks.rates import Busy, Clock, Plan, start_afresh
from pmnet.model.encoders import build_encoder

WARM: Final = 5  # steps before a capture
AFTER: Final = 5  # steps in which the profiler watches
# how cuDNN chooses its convolutions: by itself, as the project does (same numbers each run), by trying
CHOICES: Final = {"cudnn": (False, False), "deterministic": (True, False), "tried": (False, True)}
Step = Callable[[], None]


def bare_rates(
    options: argparse.Namespace, plan: Plan
) -> Iterator[tuple[str, float, float | None]]:
    """Yield (how, images/s, share of the time that the GPU was busy) of each way to run the encoder."""
    device = torch.device(options.device)
    for compiled in (False, True) if device.type == "cuda" else (False,):
        start_afresh()
        step = _step(options, device, compiled)
        name = "compiled" if compiled else "eager"
        if compiled or device.type == "cpu":
            yield name, *_rate(step, plan, options)
        if device.type == "cuda":
            for choice in CHOICES if compiled else ("cudnn", "tried"):
                with _choosing(choice):
                    graph = _captured(step)
                    yield f"{name}_graph_{choice}", *_rate(graph, plan, options)
                    del graph


def _step(options: argparse.Namespace, device: torch.device, compiled: bool) -> Step:
    """Return one step of training of the encoder in the fastest form that there is."""
    on_gpu = device.type == "cuda"
    encoder = build_encoder(options.encoder, 1)
    encoder.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    shape = options.batch, 3, options.size_px, options.size_px
    images = torch.rand(shape, device=device, dtype=torch.bfloat16 if on_gpu else torch.float32)
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-4, fused=True, capturable=on_gpu)
    if compiled:
        encoder.compile()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            features = encoder(images)
        features.float().square().mean().backward()
        optimizer.step()

    return step


def _captured(step: Step) -> Step:
    """Return the step as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _rate(step: Step, plan: Plan, options: argparse.Namespace) -> tuple[float, float | None]:
    clock = Clock(plan, options.batch)
    for _ in range(plan.counted):
        for _ in range(plan.window):
            step()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        clock.tick()
    with Busy(AFTER, options.profile) as busy:
        for _ in range(AFTER if options.profile else 0):
            step()
    return clock.rate, busy.share


@contextmanager
def _choosing(choice: str) -> Iterator[None]:
    """Let cuDNN choose in one of the ways of CHOICES."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = CHOICES[choice]
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
