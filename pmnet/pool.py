"""Several runs trained at once: DVC runs one stage at a time, but lets processes share a graph."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

import torch

from pmnet.errors import InputError
from pmnet.progress import say

DVC = (sys.executable, "-m", "dvc")
RUN_STAGES = ("cluster", "train", "evaluate")
SHARED = "cluster@single"  # every evaluation measures the distance to the mean body
POLL_S = 0.2


def repro_parallel(jobs: int) -> None:
    """Run the graph like `dvc repro`, with `jobs` runs side by side (0: one a core, or one a GPU).

    First what all runs share, then each run's memory, training and evaluation in a process of its own
    that sees one GPU, then whatever is left: tables, figures, and runs that failed. Raises InputError
    where a stage fails again.
    """
    gpus = torch.cuda.device_count()
    jobs = jobs or gpus or os.cpu_count() or 1
    runs = [name.partition("@")[2] for name in _stages("train")]
    if jobs > 1 and len(runs) > 1:
        _run(["repro", *_stages("images"), SHARED])
        _run_side_by_side(runs, jobs, gpus)
    _run(["repro"])


def _stages(name: str) -> list[str]:
    listed = subprocess.run(
        [*DVC, "stage", "list", "--name-only"], check=True, capture_output=True, text=True
    )
    return [line for line in listed.stdout.split() if re.fullmatch(rf"{name}(@.*)?", line)]


def _run(arguments: Sequence[str]) -> None:
    if subprocess.run([*DVC, *arguments]).returncode:
        raise InputError(f"dvc {arguments[0]} failed, see above; run it again when that is mended")


def _run_side_by_side(runs: list[str], jobs: int, gpus: int) -> None:
    waiting = list(runs)
    running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
    while waiting or running:
        for slot in set(range(jobs)) - set(running):
            if waiting:
                running[slot] = waiting[0], _start(waiting.pop(0), slot % gpus if gpus else None)
        for slot, (run, process) in list(running.items()):
            if process.poll() is not None:
                del running[slot]
                end = "failed, to be tried again" if process.returncode else "done"
                say(f"{run}: {end}, {len(waiting)} to start")
        time.sleep(POLL_S)


def _start(run: str, gpu: int | None) -> "subprocess.Popen[bytes]":
    visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
    return subprocess.Popen([*DVC, *_arguments(run)], env={**os.environ, **visible})


def _arguments(run: str) -> list[str]:
    """Return what DVC runs of a run; -s: only these, for what they share is there and would be locked.

    The memory of the mean body is there too, and other runs read it: DVC would call it busy.
    """
    stages = [f"{stage}@{run}" for stage in RUN_STAGES]
    return ["repro", "-s", *(stage for stage in stages if stage != SHARED)]
