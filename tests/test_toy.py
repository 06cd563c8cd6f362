"""The whole graph, really run by DVC on a toy world: what it makes, and what a change reruns."""

import time
from typing import Any

import pytest
from case_names import case_name
from dvc.repo import Repo
from toy import RUNS

TABLES = {"table2", "table3", "table4", "table5", "table6"}
FIGURES = {f"figure@{name}" for name in ("distance", "reduction", "k_sweep", "limb_sweep")}


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


def of_runs(stage: str, *runs: str, seed: int = 0) -> set[str]:
    end = f"-{seed}" if stage == "train" else ""
    return {f"{stage}@{run}{end}" for run in runs}


def three_of(*runs: str) -> set[str]:
    """Return memory, training and evaluation of each run."""
    return {name for stage in ("cluster", "train", "evaluate") for name in of_runs(stage, *runs)}


def test_all_stages_ran_once(toy):
    assert {name for name in toy.ran if name.startswith("train@")} == of_runs("train", *RUNS)
    assert TABLES | FIGURES | {"body", "sets", "curves", "summary", "gallery"} <= toy.ran


def test_all_tables_and_figures_are_there(toy):
    reports = toy.root / "reports"
    files = [f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex")]
    files += ["tables/curves.csv", "metrics.json"]
    figures = ["parts", "prototypes", *(name.partition("@")[2] for name in FIGURES)]
    files += [f"figures/{name}.{suffix}" for name in figures for suffix in ("png", "pdf")]
    files += [f"figures/gallery/{name}.png" for name in ("open_common", "open_rare")]
    datasets = [f"open_{name}" for name in SETS]
    files += [f"figures/data/{name}.png" for name in datasets]
    assert [file for file in files if (reports / file).stat().st_size < 100] == []


def test_training_leaves_weights_and_a_log_and_no_checkpoint(toy):
    for run in RUNS:
        assert {file.name for file in (toy.root / "runs" / run / "train").iterdir()} == {
            "seed_0.pt",
            "seed_0.csv",
        }
    assert not list((toy.root / ".work").rglob("*.ckpt"))


def test_nothing_is_left_over(toy):
    assert not list(toy.root.rglob("*.partial"))


SETS = ("train", "validation", "common", "rare")
ALL_P3DH = {run for run in RUNS if run.startswith("p3dh")}
RECORDINGS = {
    "adapter": "c3d",
    "source": "recordings",
    "options": {"fit": {}, "markers": None, "poses": None, "unit": "", "up": "auto"},
}
# the stages whose own command, parameters or missing inputs a change touches;
# what follows from them DVC reruns by itself
DIRECT = [
    (
        "cluster.k",
        2,  # in the sweep: P3DH at this K is there
        {
            *three_of("3dh_k2", "random_k2", "naive_k2", "p3dh_k2_l1.0"),
            *("table2", "table3", "table4", "table6", "curves", "summary", "prototypes", "gallery"),
            "page_samples",
        },
    ),
    (
        "cluster.k",
        3,
        {
            *three_of("3dh_k3", "random_k3", "naive_k3", "p3dh_k3_l5.0", "p3dh_k3_l1.0"),
            *("table2", "table3", "table4", "table6", "curves", "summary", "prototypes", "gallery"),
            "page_samples",
        },
    ),
    (
        "cluster.limb_weight",
        1.0,  # in the sweep: P3DH at this weight is there
        {
            *three_of("p3dh_k2_l1.0"),
            *("table2", "table3", "table4", "table5", "curves", "summary", "prototypes", "gallery"),
            "page_samples",
            "parts",
        },
    ),
    ("cluster.part_weights.head", 0.4, {*of_runs("cluster", *ALL_P3DH), "parts"}),
    ("cluster.seed", 1, of_runs("cluster", *RUNS)),
    ("cluster.tolerance", 0.5, of_runs("cluster", *RUNS)),
    ("cluster.max_iterations", 2, of_runs("cluster", *(RUNS - {"random_k4"}))),
    ("train.steps", 4, of_runs("train", *RUNS)),
    ("images.size_px", 32, {f"images@open_{name}" for name in SETS}),
    ("evaluate.protocols.default", "emdb", of_runs("evaluate", *RUNS) | {"body"}),
    ("evaluate.distance", "heading_free", of_runs("evaluate", *RUNS)),
    ("cluster.single", "other.npz", {"cluster@single"}),
    (
        "comparators",
        {"o": {"label": "O", "source": "o", "use": "first", "turn": "none", "trust_order": False}},
        {"comparators", "compare@o"},
    ),
    ("fits", {"a": RECORDINGS}, {"fit@a"}),
    ("report.bins", 3, TABLES | {"curves", "summary"}),
    ("figures.k_sweep.dpi", 50, {"figure@k_sweep"}),
    ("train.precision", "tf32", of_runs("train", *RUNS)),
    ("machine.workers", 2, set()),
    ("machine.checkpoint_every", 7, set()),
    ("machine.log_every", 7, set()),
    ("datasets.open_rare.options.seed", 9, {"ingest@open_rare", "sets"}),
]


@pytest.mark.parametrize(("key", "value", "expected"), DIRECT, ids=case_name)
def test_a_change_touches_what_the_readme_says(changed, key, value, expected):
    assert changed(key, value) == expected


def test_an_added_seed_trains_that_seed_only(changed):
    trained = of_runs("train", *RUNS, seed=1)
    assert changed("train.seeds", [0, 1]) == trained | of_runs("evaluate", *RUNS)


def test_one_figure_is_rerun_alone_and_then_nothing(toy):
    before = (toy.root / "reports/figures/distance.png").read_bytes()
    toy.change("figures.distance.dpi", 40)
    assert toy.repro() == {"figure@distance"}
    assert (toy.root / "reports/figures/distance.png").read_bytes() != before
    start = time.monotonic()
    assert toy.repro() == set()
    assert time.monotonic() - start < 10
    toy.git("checkout", "--quiet", ".")  # as the other tests expect it
