"""Jobs of a real SLURM: killed, requeued and found again, they end with the bytes of the local pool."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from import_closure import ROOT
from mini_slurm import mini_slurm, why_not
from ruamel.yaml import YAML
from tiny_world import MACHINE, OPTIONS, write_world

STEPS = 30
GRAPH = """
stages:
  cluster:
    foreach: [a]
    do:
      cmd: >-
        python 'ROOT/stages' cluster --sets data/train.json --body data/body.npz --out runs/a/memory.npz
        --k 3 --limb-weight 5.0 --max-iterations 2 --space vertex --weights parts
      deps: [data/train.json]
      outs: [runs/a/memory.npz]
  train:
    matrix: {run: [a], seed: [0, 1]}
    cmd: >-
      python 'ROOT/stages' train --sets data/train.json --body data/body.npz --memory runs/a/memory.npz
      --seed ${item.seed} --out runs/a/train
    deps: [runs/a/memory.npz]
    outs: ["runs/a/train/seed_${item.seed}.pt", "runs/a/train/seed_${item.seed}.csv"]
"""
REPRO = "from pmnet.runs.repro import repro_parallel; repro_parallel({jobs}, slurm={slurm})"
RESULTS = ("runs/a/memory.npz", "runs/a/train/seed_*.pt")


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    if reason := why_not():
        pytest.skip(reason)
    with mini_slurm() as env:
        yield env


def write_project(folder: Path, body) -> None:
    """Write a project of one memory and two trainings on it."""
    (folder / "data").mkdir(parents=True)
    world = write_world(folder / "data", body)
    shutil.copy(world.body, folder / "data/body.npz")
    sets = {"samples": ["data/samples.arrow"], "images": ["data/images.arrow"]}
    (folder / "data/train.json").write_text(json.dumps(sets))
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    for section, values in {"train": vars(OPTIONS), "machine": vars(MACHINE)}.items():
        plain = {k: v for k, v in values.items() if isinstance(v, (int, float, str))}
        settings[section] |= plain
    settings["train"]["steps"] = STEPS
    settings["machine"]["slurm"] |= {"cpus": 1, "memory_gib": 0.0}
    with (folder / "params.yaml").open("w") as stream:
        YAML(typ="safe").dump(settings, stream)
    (folder / "dvc.yaml").write_text(GRAPH.replace("ROOT", str(ROOT)))
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")


class Project:
    """A project with the environment of its processes."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        given = {"DVC_SITE_CACHE_DIR": str(folder / "site"), "PYTHONPATH": str(ROOT)}
        self.env = {**os.environ, **given, "OMP_NUM_THREADS": "1", **env}

    def start(self, jobs: int, slurm: bool) -> "subprocess.Popen[str]":
        """Start `pmnet repro`."""
        command = [sys.executable, "-c", REPRO.format(jobs=jobs, slurm=slurm)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stderr=pipe, text=True)

    def slurm(self, *command: str) -> str:
        """Return what a command of SLURM prints."""
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=True
        ).stdout

    def steps_of(self, seed: int) -> int:
        """Return how many steps of a training are in its log."""
        log = self.folder / f"runs/a/train/seed_{seed}.csv"
        return len(log.read_text().splitlines()) if log.is_file() else 0

    def results(self) -> dict[str, str]:
        """Return the sha256 of memories, models and what follows, by their paths."""
        files = [path for pattern in RESULTS for path in sorted(self.folder.glob(pattern))]
        hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        return {str(path.relative_to(self.folder)): text for path, text in hashes.items()}


def wait_until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def finish(process: "subprocess.Popen[str]") -> str:
    """Return what a process said; it must succeed."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_killed_jobs_and_a_killed_scheduler_end_with_the_bytes_of_the_local_pool(
    cluster, tmp_path, body
):
    write_project(tmp_path / "slurm", body)
    shutil.copytree(tmp_path / "slurm", tmp_path / "local")
    here, there = Project(tmp_path / "local", {}), Project(tmp_path / "slurm", cluster)
    finish(here.start(2, slurm=False))

    first = there.start(0, slurm=True)
    wait_until(lambda: min(there.steps_of(0), there.steps_of(1)) > 5)
    first.kill()  # the jobs go on
    submitted = first.communicate()[1]
    one, two = (re.search(rf"job (\d+): train@a-{seed}", submitted)[1] for seed in (0, 1))
    second = there.start(0, slurm=True)
    there.slurm("scancel", "--signal=KILL", one)
    there.slurm("scontrol", "requeue", two)  # as a preemption does, but for two minutes of waiting
    there.slurm("scontrol", "update", f"JobId={two}", "StartTime=now")
    said = finish(second)
    print(submitted, said, json.dumps(there.results(), indent=1), sep="\n")
    assert f"job {two}: train@a-1 is in the queue already" in said
    assert re.search(rf"^job {one}: train@a-0: failed in", said, re.MULTILINE)
    assert re.search(rf"^job {two}: train@a-1: done in", said, re.MULTILINE)
    assert len(here.results()) == 3 and there.results() == here.results()
    third = finish(there.start(0, slurm=True))
    assert third.splitlines() == ["nothing has changed"]
