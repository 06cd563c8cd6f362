"""A copy of the project with tiny settings, its own git and its own DVC, and the graph really run in it."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from import_closure import ROOT
from ruamel.yaml import YAML

YAML_FILE = YAML(typ="safe", pure=True)
CODE = ("pmnet", "stages", ".dvc", "open", "paper")
FILES = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore")
# what may lie in a checkout that is in use
UNTRACKED = ("__pycache__", "tmp", "cache", "config.local", "site", "dvc.lock")
RESULTS = {ROOT / profile / name for profile in ("open", "paper") for name in ("data", "runs")}
RESULTS |= {ROOT / profile / "reports" for profile in ("open", "paper")}
RUNS = {
    *("single", "naive_k4", "random_k4", "3dh_k4"),
    *("p3dh_k4_l5.0", "p3dh_k2_l5.0", "p3dh_k4_l1.0"),
}


def shrink(params: dict[str, Any]) -> None:
    """Make the open default small enough for a test."""
    for name, entry in params["datasets"].items():
        entry["options"]["samples"] = 30 if name == "open_train" else 12
    params["machine"] |= {"device": "cpu", "workers": 1, "threads": 1, "log_every": 1}
    params["images"] |= {"size_px": 64, "supersampling": 1}
    params["cluster"] |= {"k": 4, "limb_weight": 5.0, "max_iterations": 3}
    params["sweeps"] = {"k": [2, 4, 4, 4, 4, 4], "limb_weight": [1.0, 5.0, 5.0, 5.0, 5.0]}
    params["train"] |= {"seeds": [0], "hidden": 8, "steps": 3, "batch_size": 8}
    params["report"] |= {"bootstrap": 20, "bins": 4}
    for name in ("parts", "prototypes", "gallery", "contact_sheet"):
        params["figures"][name] = {"bodies": 1, "size_px": 32}


def copy_project(root: Path) -> None:
    """Copy what git keeps of the code, the graph and the profiles."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        outs = {name for name in names if Path(folder) / name in RESULTS}
        return outs | (set(UNTRACKED) & set(names))

    root.mkdir(parents=True)
    for folder in CODE:
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=left_out)
    for file in FILES:
        shutil.copy(ROOT / file, root / file)


class _Dvc:
    """A process that runs commands of DVC one after the other; it starts with the first."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, request: str) -> tuple[int, str]:
        if self.process is None:
            command = [sys.executable, str(Path(__file__).with_name("dvc_server.py"))]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(command, **pipes, text=True)  # type: ignore[call-overload]
        print(request, file=self.process.stdin, flush=True)
        code, printed = json.loads(self.process.stdout.readline())
        return code, printed

    def busy_seconds(self) -> float:
        """Return how long the process has worked, however busy the machine is."""
        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


DVC = _Dvc()  # ends with its standard input: with the tests


class Toy:
    """A project with tiny settings; `folder` is where DVC runs: the root, or one of its profiles."""

    def __init__(self, root: Path, site: Path, folder: str = ".") -> None:
        self.root, self.site = root, site
        self.folder = root / folder
        self.params_file = self.folder / "params.yaml"
        self.ran: set[str] = set()
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "",  # the launcher finds the code of this copy
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(site),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "OMP_NUM_THREADS": "1",
        }
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            self.env |= {f"{name}_NAME": "toy", f"{name}_EMAIL": "toy@example.org"}
        for name in ("PMNET_LAUNCH", "PMNET_WORK", "PMNET_DEBUG"):
            self.env.pop(name, None)
        self.params = YAML_FILE.load((ROOT / "params.yaml").read_text())
        shrink(self.params)

    def write(self, params: dict[str, Any]) -> None:
        """Write params.yaml."""
        with self.params_file.open("w") as stream:
            YAML_FILE.dump(params, stream)

    def change(self, key: str, value: Any) -> None:
        """Write params.yaml with one value that differs from the toy's."""
        self.change_all({key: value})

    def change_all(self, values: dict[str, Any]) -> None:
        """Write params.yaml with some values that differ from the toy's, by their keys."""
        params = copy.deepcopy(self.params)
        for key, value in values.items():
            *outer, last = key.split(".")
            section = params
            for name in outer:
                section = section[name]
            assert section[last] != value
            section[last] = value
        self.write(params)

    def status(self) -> dict[str, list[Any]]:
        """Return what `dvc status` says of each changed stage."""
        return json.loads(self.dvc("status", "--json"))

    def run(self, *command: str, timeout: float = 900, **env: str) -> str:
        """Return what a command printed; it must succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        """Run git."""
        return self.run("git", *arguments)

    def commit(self, message: str) -> None:
        """Commit all that git does not ignore."""
        self.git("add", "-A", str(self.root))
        self.git("commit", "-q", "--no-gpg-sign", "--allow-empty", "-m", message)

    def dvc(self, *words: str, **env: str) -> str:
        """Return what a command of DVC and the stages that it ran printed; it must succeed."""
        request = {"words": words, "folder": str(self.folder), "env": {**self.env, **env}}
        code, printed = DVC(json.dumps(request))
        assert code == 0, f"dvc {' '.join(words)}\n{printed[-3000:]}"
        return printed

    def repro(self, *, side_by_side: bool = False) -> set[str]:
        """Run the graph and return the stages that ran."""
        if side_by_side:
            pool = "from pmnet.runs.repro import repro_parallel; repro_parallel(2)"
            return stages_in(self.run(sys.executable, "-c", pool, PYTHONPATH=str(self.root)))
        return stages_in(self.dvc("repro"))


def stages_in(printed: str) -> set[str]:
    """Return the stages that DVC says it runs, or that `pmnet repro` says it ran."""
    pooled = re.findall(r"^(.+): done in [\d:]+, \d+ of \d+ left$", printed, re.MULTILINE)
    ran = {stage for stages in pooled for stage in stages.split(", ")}
    return ran | set(re.findall(r"Running stage '(?:[^':]+:)?([^']+)'", printed))


def finished_toy(folder: Path) -> Toy:
    """Return a toy after one run of the whole graph, committed."""
    copy_project(folder / "project")
    toy = Toy(folder / "project", folder / "site")
    toy.write(toy.params)
    toy.git("init", "-q")
    toy.commit("code")
    toy.ran = toy.repro(side_by_side=True)
    fill_profile(toy, "open")
    toy.commit("results")
    return toy


def fill_profile(toy: Toy, name: str) -> None:
    """Give a profile the settings and the results of the root: the cache is one, the graph is equal."""
    profile = Toy(toy.root, toy.site, name)
    shutil.copy(toy.params_file, profile.params_file)
    shutil.copy(toy.folder / "dvc.lock", profile.folder / "dvc.lock")
    shutil.copytree(toy.folder / "reports", profile.folder / "reports")
    profile.dvc("checkout", "--quiet")
