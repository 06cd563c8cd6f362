"""Rates of training loops: windows of steps, the most memory, and how busy the GPU was."""

import csv
import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from torch.autograd import DeviceType

from pmnet.core.files import replacing

TOP: Final = 20  # kernels that are printed
COLUMNS: Final = ("what", "images_per_s", "machine")


@dataclass(frozen=True)
class Plan:
    """How many steps a loop takes: windows of `window` steps, of which the first `warm` do not count."""

    window: int
    warm: int
    timed: int

    @property
    def counted(self) -> int:
        """Return the number of windows that are measured, warm-up included."""
        return self.warm + self.timed


class Clock:
    """The ends of the windows of a loop; the device has done all work at each end."""

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan, self._batch = plan, batch
        self._ends: list[float] = []

    def tick(self) -> None:
        """Note that a window has ended."""
        self._ends.append(time.perf_counter())

    def rates(self) -> list[float]:
        """Return images/s of each window after the warm-up, the first of which starts the clock."""
        pairs = zip(self._ends, self._ends[1:], strict=False)
        images = self.plan.window * self._batch
        rates = [images / (end - start) for start, end in pairs]
        return rates[self.plan.warm - 1 : self.plan.counted - 1]

    @property
    def rate(self) -> float:
        """Return images/s, the median of the windows."""
        return median(self.rates())

    def seconds_over(self, window: int) -> float:
        """Return how much longer one window took than the others."""
        took = self._ends[window] - self._ends[window - 1]
        return took - self.plan.window * self._batch / self.rate


class Busy:
    """What the GPU did while this was entered: the share of the time that a kernel ran, and which.

    `share` is None where it is not `watched`, or where the profiler saw no kernel (on a CPU).
    """

    share: float | None = None

    def __init__(self, steps: int, watched: bool) -> None:
        self._steps, self._watched = steps, watched
        self._kernels: list[Any] = []

    def __enter__(self) -> "Busy":
        """Start to watch."""
        if self._watched:
            self._profiler = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CUDA]
            )
            self._profiler.__enter__()
            torch.cuda.synchronize()
            self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop to watch."""
        if self._watched:
            torch.cuda.synchronize()
            wall_us = (time.perf_counter() - self._begun) * 1e6
            self._profiler.__exit__(None, None, None)
            events = self._profiler.events() or []
            self._kernels = [e for e in events if e.device_type == DeviceType.CUDA]
            spans = [(e.time_range.start, e.time_range.end) for e in self._kernels]
            self.share = covered(spans) / wall_us if spans else None

    def tell(self, what: str) -> None:
        """Print what was seen, if anything."""
        if self.share is not None:
            print("\n".join([f"  {what}{busy_for(self.share)}", *self._table()]), flush=True)

    def _table(self) -> list[str]:
        """Return what took longest: ms and launches a step, and what."""
        took: Counter[str] = Counter()
        count: Counter[str] = Counter()
        for event in self._kernels:
            took[event.name] += event.time_range.end - event.time_range.start
            count[event.name] += 1
        lines = [
            f"    {us / 1e3 / self._steps:7.3f} ms {count[name] / self._steps:6.1f}x {name[:90]}"
            for name, us in took.most_common(TOP)
        ]
        launches, whole = sum(count.values()) / self._steps, sum(took.values()) / 1e3 / self._steps
        return [f"    {whole:7.3f} ms {launches:6.1f}x in all, a step"] * bool(lines) + lines


def busy_for(share: float | None) -> str:
    """Return the end of a line that says how busy the GPU was, if that is known."""
    return "" if share is None else f"; the GPU was busy {share:.1%} of the time"


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def start_afresh() -> None:
    """Forget what was compiled and free what is no longer used."""
    if "torch._dynamo" in sys.modules:  # it takes seconds to import
        torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_rates(file: Path, found: dict[str, float], machine: str) -> None:
    """Write the table of rates; rows of other cases that are there stay."""
    rows = {what: [what, f"{rate:.1f}", machine] for what, rate in found.items()}
    if file.exists():
        with file.open(newline="") as stream:
            rows = {row[0]: row for row in [*csv.reader(stream)][1:]} | rows
    with replacing(file) as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows.values())
