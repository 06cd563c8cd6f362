"""An edit of the code changes the stages that depend on its folder, and no other: what `dvc status` says."""

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import pytest
from case_names import case_name
from toy import RUNS, Toy

CLUSTER = {f"cluster@{run}" for run in RUNS}
TRAIN = {f"train@{run}-0" for run in RUNS}
EVALUATE = {f"evaluate@{run}" for run in RUNS}
DATA = ("open_train", "open_validation", "open_common", "open_rare")
INGEST = {f"ingest@{name}" for name in DATA}
PAGE = {"page_samples", "page"}
PICTURES = {"parts", "prototypes", "gallery", *PAGE, *(f"contact_sheet@{name}" for name in DATA)}
NUMBERS = {"table2", "table3", "table4", "table5", "table6", "curves", "summary"}
FIGURES = {f"figure@{name}" for name in ("distance", "reduction", "k_sweep", "limb_sweep")}
EDITS = {
    "pmnet/clustering/kmeans.py": CLUSTER,
    "pmnet/clustering/exact/bounds.py": CLUSTER,
    "pmnet/training/loop.py": TRAIN,
    "pmnet/training/options.py": TRAIN,
    "pmnet/evaluation/metrics.py": EVALUATE | NUMBERS | PAGE | {"gallery", "body"},
    "pmnet/report/tables.py": NUMBERS | FIGURES | PICTURES,
    "pmnet/report/benchmark/claim.py": NUMBERS | FIGURES | PICTURES,
    "pmnet/datasets/synthetic/__init__.py": INGEST,
    "pmnet/datasets/_shared/rows.py": INGEST,
    "pmnet/datasets/coco/__init__.py": set(),  # no data set of the toy is COCO
    "pmnet/body/build/holes.py": set(),
    "pmnet/check/inspection.py": set(),
    "pmnet/fitting/solver.py": set(),  # the toy has no recordings
    "pmnet/datasets/_recordings/fits.py": set(),
    "stages/fit.py": set(),
    "pmnet/runs/pool.py": set(),
    "pmnet/cli.py": set(),
    "pmnet/__init__.py": set(),
    "stages/__main__.py": set(),
    "stages/compare.py": set(),  # the toy compares with no other system
    "stages/comparators.py": {"comparators"},
    "stages/table.py": {"table2", "table3", "table4", "table5", "table6"},
}


@pytest.fixture
def status(toy):
    """Return a function: the stages that DVC calls changed."""
    yield lambda: set(toy.status())
    toy.git("checkout", "--quiet", ".")


def append(toy: Toy, file: str, text: str) -> None:
    with (toy.root / file).open("a") as stream:
        stream.write(text)


def rounds_of(files: Iterable[str]) -> list[list[str]]:
    """Return the files in rounds: in each, one file of what a stage may depend on."""
    folders: dict[str, list[str]] = {}
    for file in files:
        depth = 3 if file.startswith("pmnet/datasets/") else 2
        folders.setdefault("/".join(file.split("/")[:depth]), []).append(file)
    return [list(filter(None, row)) for row in zip_longest(*folders.values())]


@pytest.fixture(scope="module")
def changed_paths(toy) -> list[dict[str, set[str]]]:
    """Return the changed dependencies of each changed stage, for each round of edits at once."""
    rounds = []
    for files in rounds_of(EDITS):
        for file in files:
            append(toy, file, "# a comment\n")
        rounds.append({stage: changed_code(entries) for stage, entries in toy.status().items()})
        toy.git("checkout", "--quiet", ".")
    return rounds


def changed_code(entries: list[dict[str, dict[str, str]]]) -> set[str]:
    (entry,) = entries
    assert list(entry) == ["changed deps"]
    return set(entry["changed deps"])


@pytest.mark.parametrize(("file", "expected"), EDITS.items(), ids=case_name)
def test_a_comment_changes_the_stages_of_its_folder(changed_paths, file, expected):
    (number,) = (n for n, files in enumerate(rounds_of(EDITS)) if file in files)
    above = {file, *(str(folder) for folder in Path(file).parents)}
    stages = {stage for stage, paths in changed_paths[number].items() if paths & above}
    assert stages == expected


def test_an_edit_changes_nothing_but_the_stages_of_its_folder(changed_paths):
    for files, changed in zip(rounds_of(EDITS), changed_paths, strict=True):
        assert set(changed) == set().union(*(EDITS[file] for file in files))


def test_a_module_of_its_own_changes_the_stages_of_its_folder(toy, status):
    module = toy.root / "pmnet/clustering/another.py"
    module.write_text('"""A way to find a memory."""\n')
    try:
        assert status() == CLUSTER
    finally:
        module.unlink()


def test_an_option_of_training_changes_trainings_only(toy, status):
    append(toy, "pmnet/training/options.py", "    another: int\n")
    toy.change("train", {**toy.params["train"], "another": 1})
    graph = toy.root / "dvc.yaml"
    text = graph.read_text()
    assert text.count("train.augmentation]") == 1
    graph.write_text(text.replace("train.augmentation]", "train.augmentation, train.another]"))
    assert status() == TRAIN


def test_a_row_of_memories_is_one_line_of_the_graph(toy, status):
    """A memory of another kind: one line in `runs`, and its name in the list of trainings."""
    graph = toy.root / "dvc.yaml"
    text = graph.read_text()
    row = "      single: {<<: *flat, k: 1, track: cluster.single}\n"
    name = "        - single\n"
    assert text.count(row) == 1 and text.count(name) == 1
    text = text.replace(row, row + "      naive_k9: {<<: *flat, space: parameter, k: 9}\n")
    graph.write_text(text.replace(name, name + "        - naive_k9\n"))
    assert status() == {"cluster@naive_k9", "train@naive_k9-0", "evaluate@naive_k9"}


def test_a_data_set_is_one_entry_of_the_settings(toy, status):
    """Another data set: an entry of `datasets`; those who list all data sets see it too."""
    entry = {**toy.params["datasets"]["open_rare"], "split": "preview"}
    toy.change("datasets", {**toy.params["datasets"], "another": entry})
    added = {f"{stage}@another" for stage in ("ingest", "images", "contact_sheet")}
    assert status() == added | {"sets"}
