"""Jobs of a real SLURM: killed, requeued and found again, they end with the bytes of one process."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from import_closure import ROOT
from mini_slurm import mini_slurm, why_not
from ruamel.yaml import YAML
from tiny_world import MACHINE, OPTIONS, N, draw_samples, write_images

from pmnet.body import OPEN_BODY
from pmnet.core.errors import InputError
from pmnet.runs.graph import Task, owners
from pmnet.runs.slurm import SlurmOptions, SlurmQueue, with_one_for_reports

STEPS = 60
CLUSTER = (
    "python 'ROOT/stages' cluster --sets data/train.json --body data/body.npz --out runs/a/memory.npz "
    "--k 3 --limb-weight 5.0 --max-iterations 2 --space vertex --weights parts"
)
TRAIN = (
    "python 'ROOT/stages' train --sets data/train.json --body data/body.npz --memory runs/a/memory.npz "
    "--seed ${item.seed} --out runs/a/train"
)
COMMANDS = [CLUSTER, *(TRAIN.replace("${item.seed}", seed) for seed in "01")]
GRAPH = f"""
stages:
  cluster:
    foreach: [a]
    do:
      cmd: {CLUSTER}
      deps: [data/train.json]
      outs: [runs/a/memory.npz]
  train:
    matrix: {{run: [a], seed: [0, 1]}}
    cmd: {TRAIN}
    deps: [runs/a/memory.npz]
    outs: ["runs/a/train/seed_${{item.seed}}.pt", "runs/a/train/seed_${{item.seed}}.csv"]
"""
REPRO = "from pmnet.runs.repro import repro_parallel; repro_parallel(0, slurm=True)"
# the same stages in one process, which costs three starts less
ALONE = """
import shlex, typer
from pmnet.core.stage import as_command
from stages import cluster, train
for command in {commands}:
    app, (_, _, stage, *options) = typer.Typer(), shlex.split(command)
    app.command()(as_command(getattr({{"cluster": cluster, "train": train}}[stage], stage)))
    app(options, standalone_mode=False)
"""
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
    draw_samples(body).save(folder / "data/samples.arrow")
    write_images(folder / "data/images.arrow", N)
    shutil.copy(OPEN_BODY, folder / "data/body.npz")
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

    def start(self, code: str = REPRO) -> "Started":
        """Start `pmnet repro --slurm`, or other code."""
        log = self.folder / f"said_{time.monotonic()}"
        with log.open("w") as stream:
            command = [sys.executable, "-c", code]
            process = subprocess.Popen(command, cwd=self.folder, env=self.env, stderr=stream)
        return Started(process, log)

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


@dataclass
class Started:
    """A process that was started, and what it says."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def finish(self) -> str:
        """Return what it said; it must succeed."""
        code = self.process.wait(300)
        assert code == 0, self.said
        return self.said


def test_all_reports_are_one_job_and_nothing_else_is():
    tasks = [
        Task("body", ["body"]),
        Task("data x", ["ingest@x", "images@x"], {"body"}),
        Task("sheet", ["contact_sheet@x"], {"images@x"}),
        Task("run a", ["train@a-0", "evaluate@a"], {"images@x"}),
        Task("table2", ["table2"], {"evaluate@a"}),
        Task("page", ["page"], {"table2"}),
    ]
    jobs = {job.name: job for job in with_one_for_reports(tasks)}
    assert list(jobs) == ["body", "data x", "run a", "reports"]
    assert jobs["reports"].stages == ["contact_sheet@x", "table2", "page"]
    assert owners(list(jobs.values()))["reports"] == {"data x", "run a"}
    assert [job.name for job in with_one_for_reports(tasks[:2])] == ["body", "data x"]


def test_a_job_asks_for_what_the_settings_say():
    task, short = Task("run a", ["train@a-0"]), Task("body", ["body"])
    asked = SlurmOptions("gpu", 4, 16, 1.5, 60, 3, [], {"account": "mine"})
    assert asked.sbatch(task, ["7", "8"]) == {
        **{"partition": "gpu", "gpus-per-node": 4, "mem": "1536M", "dependency": "afterok:7:8"},
        **{"kill-on-invalid-dep": "yes", "requeue": True, "account": "mine"},
    }
    plain = SlurmOptions("", 4, 0, 0.0, 60, 0, [], {})
    assert plain.sbatch(short, []) == {"kill-on-invalid-dep": "yes", "no-requeue": True}


def test_without_slurm_there_is_one_error_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch is not on the PATH"):
        SlurmQueue("repro")


def test_killed_jobs_and_a_killed_scheduler_end_with_the_bytes_of_one_process(
    cluster, tmp_path, body
):
    write_project(tmp_path / "slurm", body)
    shutil.copytree(tmp_path / "slurm", tmp_path / "local")
    here, there = Project(tmp_path / "local", {}), Project(tmp_path / "slurm", cluster)
    alone = here.start(ALONE.format(commands=COMMANDS))

    first = there.start()
    wait_until(lambda: "job 3: train@a-1" in first.said)
    one, two = (re.search(rf"job (\d+): train@a-{seed}", first.said)[1] for seed in (0, 1))
    running = {0: one, 1: two}
    while running:  # each is suspended as soon as it trains, else it would end before it is killed
        wait_until(lambda: any(there.steps_of(seed) > 3 for seed in running))
        for seed in [seed for seed in running if there.steps_of(seed) > 3]:
            there.slurm("scontrol", "suspend", running.pop(seed))
    first.process.kill()  # the jobs go on
    first.process.wait()
    second = there.start()
    wait_until(lambda: second.said.count("is in the queue already") == 2)
    there.slurm("scancel", "--signal=KILL", one)
    there.slurm("scontrol", "requeue", two)  # as a preemption does, but for two minutes of waiting
    wait_until(
        lambda: "PENDING" in there.slurm("squeue", "--noheader", "--format=%T", "--jobs", two)
    )
    there.slurm("scontrol", "release", two)  # it was suspended
    there.slurm("scontrol", "update", f"JobId={two}", "StartTime=now")
    said = second.finish()
    alone.finish()
    assert re.search(rf"^job {one}: train@a-0: failed in", said, re.MULTILINE)
    assert re.search(rf"^job {two}: train@a-1: done in", said, re.MULTILINE)
    assert re.search(r"^train@a-0: going on from step \d+ of", said, re.MULTILINE)
    assert len(here.results()) == 3 and there.results() == here.results()
    third = there.start().finish()
    assert third.splitlines() == ["nothing has changed"]
