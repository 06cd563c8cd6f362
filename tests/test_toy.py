"""The whole graph, really run by DVC on a toy world: what it makes, and what a change reruns."""

from typing import Any

import pytest
from case_names import case_name
from toy import DVC, RUNS, Toy

TABLES = {"table2", "table3", "table4", "table5", "table6"}
FIGURES = {f"figure@{name}" for name in ("distance", "reduction", "k_sweep", "limb_sweep")}


@pytest.fixture
def changed(toy):
    """Return a function: which stages are changed after one change of params.yaml."""

    def stages_changed_by(key: str, value: Any) -> set[str]:
        toy.change(key, value)
        return set(toy.status())

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
ONE_BY_ONE = [
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
    ("cluster.max_iterations", 2, of_runs("cluster", *(RUNS - {"random_k4"}))),
    (
        "comparators",
        {"o": {"label": "O", "source": "o", "use": "first", "turn": "none", "trust_order": False}},
        {"comparators", "compare@o"},
    ),
    ("fits", {"a": RECORDINGS}, {"fit@a"}),
]
# changes that touch parameters and no command: DVC names the parameters of each changed stage,
# so that all changes of a round are seen in one status
ROUNDS = [
    [
        ("cluster.part_weights.head", 0.4, {*of_runs("cluster", *ALL_P3DH), "parts"}),
        ("cluster.seed", 1, of_runs("cluster", *RUNS)),
        ("cluster.single", "other.npz", {"cluster@single"}),
        ("train.steps", 4, of_runs("train", *RUNS)),
        ("images.size_px", 32, {f"images@open_{name}" for name in SETS}),
        ("evaluate.protocols.default", "emdb", of_runs("evaluate", *RUNS) | {"body"}),
        ("report.bins", 3, TABLES | {"curves", "summary"}),
        ("figures.k_sweep.dpi", 50, {"figure@k_sweep"}),
        ("machine.workers", 2, set()),
        ("machine.checkpoint_every", 7, set()),
        ("datasets.open_rare.options.seed", 9, {"ingest@open_rare", "sets"}),
    ],
    [
        ("cluster.tolerance", 0.5, of_runs("cluster", *RUNS)),
        ("train.precision", "tf32", of_runs("train", *RUNS)),
        ("evaluate.distance", "heading_free", of_runs("evaluate", *RUNS)),
        ("machine.log_every", 7, set()),
    ],
]
TOGETHER = [
    (number, key, stages) for number, cases in enumerate(ROUNDS) for key, _, stages in cases
]


@pytest.fixture(scope="module")
def touched(toy) -> list[dict[str, set[str]]]:
    """Return the changed parameters of each changed stage, for each round; nothing else is changed."""
    rounds = [touched_parameters(toy, cases) for cases in ROUNDS]
    toy.write(toy.params)
    return rounds


def touched_parameters(toy: Toy, cases: list[tuple[str, Any, set[str]]]) -> dict[str, set[str]]:
    toy.change_all({key: value for key, value, _ in cases})
    status = toy.status()
    for entries in status.values():
        (entry,) = entries
        assert list(entry) == ["changed deps"] and list(entry["changed deps"]) == ["params.yaml"]
    return {stage: set(entry["changed deps"]["params.yaml"]) for stage, (entry,) in status.items()}


def covers(tracked: str, key: str) -> bool:
    return key == tracked or key.startswith(f"{tracked}.")


@pytest.mark.parametrize(("key", "value", "expected"), ONE_BY_ONE, ids=case_name)
def test_a_change_touches_what_the_readme_says(changed, key, value, expected):
    assert changed(key, value) == expected


@pytest.mark.parametrize(("number", "key", "expected"), TOGETHER, ids=case_name)
def test_a_parameter_touches_the_stages_that_track_it(touched, number, key, expected):
    tracked = {name for names in touched[number].values() for name in names if covers(name, key)}
    others = [other for other, *_ in ROUNDS[number] if other != key]
    assert not [name for name in tracked for other in others if covers(name, other)]
    assert {stage for stage, names in touched[number].items() if names & tracked} == expected


def test_an_added_seed_trains_that_seed_only(changed):
    trained = of_runs("train", *RUNS, seed=1)
    assert changed("train.seeds", [0, 1]) == trained | of_runs("evaluate", *RUNS)


def test_one_figure_is_rerun_alone_and_then_nothing(toy):
    before = (toy.root / "reports/figures/distance.png").read_bytes()
    toy.change("figures.distance.dpi", 40)
    assert toy.repro() == {"figure@distance"}
    assert (toy.root / "reports/figures/distance.png").read_bytes() != before
    start = DVC.busy_seconds()
    assert toy.repro() == set()
    assert DVC.busy_seconds() - start < 10
    toy.git("checkout", "--quiet", ".")  # as the other tests expect it
