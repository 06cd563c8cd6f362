"""A tiny world of the graph, and trainings in it that can be killed."""

import fcntl
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from pmnet.core.stage import as_command
from stages import body, cluster, images, ingest, sets

ROOT = Path(__file__).parents[2]
RUN, NAME = "single", "open_train"
TRAIN = (
    *("python", "-m", "stages.train", "--sets", "data/train.json", "--body", "data/body.npz"),
    *("--memory", f"runs/{RUN}/memory.npz", "--out", f"runs/{RUN}/train", "--seed", "0"),
)
COMMANDS = {
    "trainer": TRAIN,
    "dvc": ("python", "-m", "dvc", "repro", "-s", f"train@{RUN}-0"),
    "rank": ("torchrun", "--standalone", "--nproc-per-node", "2", "--no-python", *TRAIN),
}
POLL_S = 0.02


class World:
    """A copy of the graph in a folder, with all that its train stage needs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "runs" / RUN / "train"
        self.checkpoints = folder / ".work/checkpoints"
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "OMP_NUM_THREADS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/site"),
        }
        for name in ("PMNET_LAUNCH", "PMNET_WORK", "RANK", "WORLD_SIZE"):
            self.env.pop(name, None)

    @staticmethod
    def lay_out(folder: Path, steps: int) -> "World":
        """Copy the graph and run what comes before training, small."""
        for name in ("pmnet", "stages"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "dvc.yaml", folder)
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        yaml = YAML(typ="safe", pure=True)
        params = yaml.load((ROOT / "params.yaml").read_text())
        _shrink(params, steps)
        yaml.dump(params, folder / "params.yaml")
        with chdir(folder):
            _run_what_comes_before()
        return World(folder)

    def clear(self) -> None:
        """Forget every training, and what DVC knows of it."""
        for path in (self.out, self.checkpoints, self.folder / ".dvc/cache"):
            shutil.rmtree(path, ignore_errors=True)
        (self.folder / "dvc.lock").unlink(missing_ok=True)

    def has_checkpoint(self) -> bool:
        """Return whether a training has got so far."""
        return any(self.checkpoints.glob("*.ckpt"))

    def rows_of_log(self) -> int:
        """Return how many rows the log has by now."""
        try:
            return len((self.out / "seed_0.csv").read_text().splitlines()) - 1
        except FileNotFoundError:
            return 0

    def results(self) -> dict[str, bytes]:
        """Return the weights and the log."""
        return {path.name: path.read_bytes() for path in self.out.iterdir()}

    def wait_until_free(self) -> None:
        """Wait until no training holds a lock."""
        for path in self.checkpoints.glob("*.lock"):
            with path.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)


class Training:
    """A training that runs, by one of COMMANDS."""

    def __init__(self, world: World, kind: str) -> None:
        self._world, self._kind = world, kind
        self._said = world.folder / f"{kind}.txt"
        with self._said.open("w") as stream:
            self.process = psutil.Popen(
                COMMANDS[kind], cwd=world.folder, env=world.env, stdout=stream, stderr=stream
            )

    def said(self) -> str:
        """Return what it has printed."""
        return self._said.read_text()

    def seconds_until(self, event: Callable[[], bool]) -> float:
        """Wait for an event, or for the end of the training, and return how long (s) it took."""
        start = time.monotonic()
        while not event() and self.process.poll() is None:
            time.sleep(POLL_S)
        return time.monotonic() - start

    def killed_at(self, event: Callable[[], bool], chance: random.Random) -> bool:
        """Kill it at an event, and return whether it was still running; the others go on or end."""
        self.seconds_until(event)
        try:
            own = self.process.children() if self._kind == "rank" else []
            chance.choice(own or [self.process]).kill()
        except psutil.NoSuchProcess:
            return False
        return self.process.wait() != 0

    def again(self) -> str:
        """Run the same command to its end, and return what it printed."""
        done = subprocess.run(
            COMMANDS[self._kind],
            cwd=self._world.folder,
            env=self._world.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode and "another process" not in done.stdout:
            raise RuntimeError(f"{self._kind}: run again, it failed:\n{done.stdout}")
        return done.stdout


def _shrink(params: dict[str, Any], steps: int) -> None:
    params["datasets"][NAME]["options"]["samples"] = 40
    params["machine"] |= {"device": "cpu", "workers": 1, "threads": 1}
    params["machine"] |= {"log_every": 3, "checkpoint_every": 5}
    params["images"] |= {"size_px": 64, "supersampling": 1}
    params["train"] |= {"seeds": [0], "hidden": 16, "steps": steps, "batch_size": 8}
    params["train"] |= {"pooling": 1, "ema": 0.9}


def _run_what_comes_before() -> None:
    """Run the stages before training, in this process."""
    model, lists = Path("data/body.npz"), {s: Path(f"data/{s}.json") for s in ("train", "test")}
    samples, pixels = (Path(f"data/{kind}/train/{NAME}.arrow") for kind in ("samples", "images"))
    memory = Path(f"runs/{RUN}/memory.npz")
    _run(body.body, file=Path("pmnet/body/open_smpl.npz"), out=model)
    _run(ingest.ingest, name=NAME, body=model, out=samples)
    _run(images.images, samples=samples, body=model, out=pixels)
    _run(sets.sets, **lists)
    flat = {"space": "vertex", "weights": "flat", "k": 1}
    _run(cluster.cluster, sets=lists["train"], body=model, out=memory, **flat)


def _run(stage: Callable[..., None], **given: Any) -> None:
    as_command(stage)(set_=None, **given)
