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
POLL_S = 0.2


def repro_parallel(jobs: int) -> None:
    """Run the graph like `dvc repro`, training `jobs` runs at once (0: one a core, or one a GPU).

    First all that comes before training, then the training stages side by side, then the rest. Each
    process sees one GPU. Raises InputError where a stage failed: the others are finished first.
    """
    gpus = torch.cuda.device_count()
    jobs = jobs or gpus or os.cpu_count() or 1
    trained = _stages("train")
    if jobs > 1 and len(trained) > 1:
        _run(["repro", *_stages("images"), *_stages("cluster")])
        _train(trained, jobs, gpus)
    _run(["repro"])


def _stages(name: str) -> list[str]:
    listed = subprocess.run(
        [*DVC, "stage", "list", "--name-only"], check=True, capture_output=True, text=True
    )
    return [line for line in listed.stdout.split() if re.fullmatch(rf"{name}(@.*)?", line)]


def _run(arguments: Sequence[str]) -> None:
    if subprocess.run([*DVC, *arguments]).returncode:
        raise InputError(f"dvc {arguments[0]} failed, see above; run it again when that is mended")


def _train(stages: list[str], jobs: int, gpus: int) -> None:
    waiting, running, failed = list(stages), dict[int, tuple[str, subprocess.Popen[bytes]]](), []
    while waiting or running:
        for slot in set(range(jobs)) - set(running):
            if waiting:
                name = waiting.pop(0)
                visible = {"CUDA_VISIBLE_DEVICES": str(slot % gpus)} if gpus else {}
                # -s: only this stage; what it needs is there, and DVC would lock it
                command = [*DVC, "repro", "-q", "-s", name]
                running[slot] = name, subprocess.Popen(command, env={**os.environ, **visible})
        for slot, (name, process) in list(running.items()):
            if process.poll() is not None:
                del running[slot]
                failed += [name] if process.returncode else []
                say(
                    f"{name}: {'failed' if process.returncode else 'done'}, {len(waiting)} to start"
                )
        time.sleep(POLL_S)
    if failed:
        raise InputError(f"these stages failed, see above: {', '.join(failed)}")
