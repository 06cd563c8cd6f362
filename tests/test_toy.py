"""The whole graph, really run by DVC on a toy world: what it makes, and what a change reruns."""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from import_closure import ROOT
from ruamel.yaml import YAML

YAML_FILE = YAML(typ="safe", pure=True)
RUNS = {
    "single",
    "naive_k4",
    "random_k4",
    "3dh_k4",
    "p3dh_k4_l5.0",
    "p3dh_k2_l5.0",
    "p3dh_k4_l1.0",
}
TABLES = {"table2", "table3", "table4", "table5", "table6"}
FIGURES = {f"figure@{name}" for name in ("distance", "reduction", "k_sweep", "limb_sweep")}
IGNORED = ("__pycache__", "tmp", "cache", "config.local", "site")


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


class Toy:
    """A copy of the project with its own git and DVC."""

    def __init__(self, root: Path, site: Path) -> None:
        self.root = root
        self.params_file = root / "params.yaml"
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(site),
            "OMP_NUM_THREADS": "1",
        }
        for name in ("PMNET_LAUNCH", "PMNET_WORK", "PMNET_DEBUG"):
            self.env.pop(name, None)
        self.params = YAML_FILE.load((ROOT / "params.yaml").read_text())
        shrink(self.params)
        self.write(self.params)

    def write(self, params: dict[str, Any]) -> None:
        """Write params.yaml."""
        with self.params_file.open("w") as stream:
            YAML_FILE.dump(params, stream)

    def change(self, key: str, value: Any) -> None:
        """Write params.yaml with one value that differs from the toy's."""
        params = copy.deepcopy(self.params)
        *outer, last = key.split(".")
        section = params
        for name in outer:
            section = section[name]
        assert section[last] != value
        section[last] = value
        self.write(params)

    def run(self, *command: str) -> str:
        """Return what a command printed; it must succeed."""
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def repro(self, *, side_by_side: bool = False) -> set[str]:
        """Run the graph and return the stages that ran."""
        pool = "-c", "from pmnet.runs.pool import repro_parallel; repro_parallel(2)"
        printed = self.run(sys.executable, *(pool if side_by_side else ("-m", "dvc", "repro")))
        return set(re.findall(r"Running stage '([^']+)'", printed))


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    """Return the toy after one run of the whole graph."""
    root = tmp_path_factory.mktemp("toy") / "project"
    root.mkdir()
    for folder in ("pmnet", "stages", ".dvc"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns(*IGNORED))
    for file in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / file, root / file)
    made = Toy(root, tmp_path_factory.mktemp("site"))
    made.run("git", "init", "-q")
    made.run("git", "add", "-A")
    identity = "-c", "user.name=toy", "-c", "user.email=toy@example.org"
    made.run("git", *identity, "commit", "-q", "--no-gpg-sign", "-m", "toy")
    made.ran = made.repro(side_by_side=True)  # type: ignore[attr-defined]
    return made


@pytest.fixture
def changed(toy, monkeypatch):
    """Return a function: which stages are changed after one change of params.yaml."""
    monkeypatch.chdir(toy.root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", toy.env["DVC_SITE_CACHE_DIR"])

    def stages_changed_by(key: str, value: Any) -> set[str]:
        toy.change(key, value)
        with Repo(str(toy.root)) as repo:
            return set(repo.status())

    yield stages_changed_by
    toy.write(toy.params)


def of_runs(stage: str, *runs: str) -> set[str]:
    return {f"{stage}@{run}" for run in runs}


def test_all_stages_ran_once(toy):
    assert {name for name in toy.ran if name.startswith("train@")} == of_runs("train", *RUNS)
    assert TABLES | FIGURES | {"body", "sets", "curves", "summary", "gallery"} <= toy.ran


def test_all_tables_and_figures_are_there(toy):
    reports = toy.root / "reports"
    files = [f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "md")]
    files += ["tables/curves.csv", "metrics.json", "figures/parts.png", "figures/prototypes.png"]
    files += [f"figures/{name.partition('@')[2]}.png" for name in FIGURES]
    files += [f"figures/gallery/{name}.png" for name in ("open_common", "open_rare")]
    datasets = ("open_train", "open_common", "open_rare")
    files += [f"figures/data/{name}.png" for name in datasets]
    assert [file for file in files if (reports / file).stat().st_size < 100] == []


def test_training_leaves_weights_and_a_log_and_no_checkpoint(toy):
    for run in RUNS:
        assert {file.name for file in (toy.root / "runs" / run / "train").iterdir()} == {
            "seed_0.pt",
            "log.csv",
        }
    assert not list((toy.root / ".work").rglob("*.ckpt"))


def test_nothing_is_left_over(toy):
    assert not list(toy.root.rglob("*.partial"))


ALL_P3DH = {run for run in RUNS if run.startswith("p3dh")}
# the stages whose own command, parameters or missing inputs a change touches;
# what follows from them DVC reruns by itself
DIRECT = [
    (
        "cluster.k",
        2,  # in the sweep: P3DH at this K is there
        {
            *(
                f"{stage}@{run}"
                for stage in ("cluster", "train", "evaluate")
                for run in ("3dh_k2", "random_k2", "naive_k2", "p3dh_k2_l1.0")
            ),
            *("table2", "table3", "table4", "table6", "curves", "summary", "prototypes", "gallery"),
        },
    ),
    (
        "cluster.k",
        3,
        {
            *(
                f"{stage}@{run}"
                for stage in ("cluster", "train", "evaluate")
                for run in ("3dh_k3", "random_k3", "naive_k3", "p3dh_k3_l5.0", "p3dh_k3_l1.0")
            ),
            *("table2", "table3", "table4", "table6", "curves", "summary", "prototypes", "gallery"),
        },
    ),
    (
        "cluster.limb_weight",
        1.0,  # in the sweep: P3DH at this weight is there
        {
            *(f"{stage}@p3dh_k2_l1.0" for stage in ("cluster", "train", "evaluate")),
            *("table2", "table3", "table4", "table5", "curves", "summary", "prototypes", "gallery"),
            "parts",
        },
    ),
    ("cluster.part_weights.head", 0.4, {*of_runs("cluster", *ALL_P3DH), "parts"}),
    ("cluster.seed", 1, of_runs("cluster", *RUNS)),
    ("cluster.tolerance", 0.5, of_runs("cluster", *RUNS)),
    ("cluster.max_iterations", 2, of_runs("cluster", *(RUNS - {"random_k4"}))),
    ("train.steps", 4, of_runs("train", *RUNS)),
    ("images.size_px", 32, {f"images@open_{name}" for name in ("train", "common", "rare")}),
    ("evaluate.alignment", "hips", of_runs("evaluate", *RUNS)),
    ("report.bins", 3, TABLES | {"curves", "summary"}),
    ("figures.k_sweep.dpi", 50, {"figure@k_sweep"}),
    ("machine.workers", 2, set()),
    ("datasets.open_rare.options.seed", 9, {"ingest@open_rare", "sets"}),
]


@pytest.mark.parametrize(("key", "value", "expected"), DIRECT, ids=lambda v: str(v)[:30])
def test_a_change_touches_what_the_readme_says(changed, key, value, expected):
    assert changed(key, value) == expected


def test_a_seed_more_trains_and_evaluates(changed):
    assert changed("train.seeds", [0, 1]) == of_runs("train", *RUNS) | of_runs("evaluate", *RUNS)


def test_one_figure_is_rerun_alone_and_then_nothing(toy):
    before = (toy.root / "reports/figures/distance.png").read_bytes()
    toy.change("figures.distance.dpi", 40)
    assert toy.repro() == {"figure@distance"}
    assert (toy.root / "reports/figures/distance.png").read_bytes() != before
    start = time.monotonic()
    assert toy.repro() == set()
    assert time.monotonic() - start < 10
    toy.write(toy.params)
