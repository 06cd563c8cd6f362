"""Time, memory and errors of one method."""

import csv
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.clustering.reference import TIE, nearest_points

PAGE = 4096
GIB = 2**30


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    method: str
    samples: int
    k: int
    embed_s: float
    iteration_s: float
    peak_gib: float
    wrong: int | None
    checked: int
    machine: str

    def same(self, other: "Row") -> bool:
        """Return whether another row is of the same method, bodies, K and machine."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("method", "samples", "k", "machine")
        )


def rows_of(file: Path) -> list[Row]:
    """Return the rows of a table; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return [
            Row(
                line["method"],
                int(line["samples"]),
                int(line["k"]),
                float(line["embed_s"]),
                float(line["iteration_s"]),
                float(line["peak_gib"]),
                int(line["wrong"]) if line["wrong"] else None,
                int(line["checked"]),
                line["machine"],
            )
            for line in csv.DictReader(stream)
        ]


def runs_of(k: int) -> int:
    """Return of how many runs the fastest counts, of ours and of each peer: loads disturb a short one."""
    return 5 if k < 100 else 2


class Memory:
    """The peak of the memory that was taken inside this context."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak_gib = 0.0

    def __enter__(self) -> "Memory":
        """Start to measure."""
        self._before, self._most = _resident(), 0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return self
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop to measure."""
        if self._device.type == "cuda":
            self.peak_gib = torch.cuda.max_memory_allocated() / GIB
            return
        self._done.set()
        self._watcher.join()
        self.peak_gib = max(self._most - self._before, 0) / GIB

    def _watch(self) -> None:
        while True:
            self._most = max(self._most, _resident())
            if self._done.wait(0.01):
                return


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def seconds(work: Callable[[], Any], device: torch.device | None = None) -> tuple[float, Any]:
    """Return the seconds that some work takes, and its result."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    result = work()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun, result


def wrong(
    points: Float[Tensor, "n p"], centres: Float[Tensor, "k p"], labels: Int[Tensor, "n"]
) -> int:
    """Return how many labels name a centre that is not nearest in float64; any of a tie is right."""
    p, c = points.double(), centres.double()
    least = nearest_points(p, c)[1]
    chosen = (p - c[labels.long()]).norm(dim=1)
    return int((chosen > least * (1 + TIE[0]) + TIE[1]).sum())


def machine_name(device: torch.device) -> str:
    """Return the name of the machine of the measurement."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {torch.get_num_threads()} threads"
