"""Experiments as rows of a graph: each is done once for the same settings, code and inputs."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from fake_rows import write_folder, write_stages
from import_closure import ROOT
from ruamel.yaml import YAML
from tiny_world import MACHINE, OPTIONS, write_world

from pmnet.core.checkpoints import held
from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import read_errors
from pmnet.report.benchmark.packing import pack
from pmnet.runs.experiments import read_experiments
from pmnet.runs.graph import tasks_to_do
from pmnet.runs.stage_server import stage_server
from pmnet.runs.sweep import run_experiments

YAML_TEXT = """
experiments:
  plain: {label: plain, group: first, memories: {p3dh: [1], other: [0]}, set: {}}
  longer: {label: longer, group: second, memories: {p3dh: [0]}, set: {steps: 5, loss.pose: 2.0e-5}}
"""
MEMORIES = [Path(f"runs/{run}/memory.npz") for run in ("p3dh", "other", "single")]


@pytest.fixture(scope="module", autouse=True)
def one_server() -> Iterator[None]:
    """Keep one server of stages for all sweeps: each of its own takes seconds to start."""
    with stage_server(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pmnet.runs.pool.stage_server", nullcontext)
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return a folder whose stages note that they ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", "")
    write_folder(tmp_path, MEMORIES, {})
    write_stages(tmp_path)
    (tmp_path / "some.yaml").write_text(YAML_TEXT)
    return tmp_path


def trained(folder: Path) -> list[str]:
    """Return which trainings ran since the last call, and forget them."""
    notes = folder / "trained"
    lines = notes.read_text().splitlines() if notes.exists() else []
    notes.unlink(missing_ok=True)
    words = [line.split() for line in lines]
    return sorted(line[line.index("--out") + 1].removesuffix("/train") for line in words)


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_row_runs_once_for_the_same_settings_code_and_inputs(folder, capsys):
    file = folder / "some.yaml"

    def sweep(groups: tuple[str, ...] = (), splits=("test",), packed=()) -> list[str]:
        run_experiments(file, groups, 2, splits, packed)
        return trained(folder)

    every = ["sweeps/longer/seed_0", "sweeps/plain/seed_0", "sweeps/plain/seed_1"]
    assert sweep() == every
    assert "3 of 3 rows to do" in capsys.readouterr().err
    weights = (folder / "sweeps/longer/seed_0/train/seed_0.pt").read_text()
    assert weights.endswith("--set steps=5 --set loss.pose=2e-05")
    assert "--memory runs/p3dh/memory.npz --seed 0" in weights
    errors = read_errors([folder / "sweeps/plain/errors.parquet"])
    assert set(errors["run"]) == {"plain"} and set(errors["seed"]) == {0, 1}
    assert set(errors["label"]) == {"plain"}
    assert sweep() == [] and "0 of 3 rows to do" in capsys.readouterr().err

    # what a row does not depend on, what it sets itself, and what it depends on
    change(folder / "params.yaml", "steps: 900", "steps: 901")
    change(folder / "params.yaml", "log_every: 50", "log_every: 51")
    assert sweep() == every[1:]
    (folder / "runs/other/memory.npz").write_text("another")
    assert sweep() == ["sweeps/plain/seed_0"]
    (folder / "pmnet/training/code.py").write_text("another")
    run_experiments(file, [], 2, ["test"], dry=True)
    assert "3 of 3 rows to do" in capsys.readouterr().err
    assert sweep(("second",)) == every[:1]
    change(folder / "params.yaml", "distance: as_seen", "distance: heading_free")
    assert [task.stages for task in tasks_to_do(Path("sweeps"))] == [["evaluate_row@longer-0"]]
    assert sweep(("second",), ("validation", "test")) == []  # scored anew, not trained
    scored = set(read_errors([folder / "sweeps/longer/errors.parquet"])["sequence"])
    assert scored == {"data/validation.json data/test.json"}

    pack([folder / "sweeps/plain/errors.parquet"], folder / "packed.parquet")
    change(file, "p3dh: [1]", "p3dh: [1, 2]")
    assert sweep(("first",), ("test",), [folder / "packed.parquet"]) == ["sweeps/plain/seed_2"]
    assert set(read_errors([folder / "sweeps/plain/errors.parquet"])["seed"]) == {2}


def test_rows_that_fail_are_named_and_the_others_are_done(folder):
    change(folder / "some.yaml", "set: {steps: 5", "set: {encoder: fail, steps: 5")
    with pytest.raises(InputError, match="1 of 3 rows failed, see above: longer-0; run it again"):
        run_experiments(folder / "some.yaml", [], 1, ["test"])
    tried = trained(folder)
    assert tried.count("sweeps/longer/seed_0") == 2 and len(tried) == 4
    assert (folder / "sweeps/plain/errors.parquet").exists()
    assert not (folder / "sweeps/longer/errors.parquet").exists()


def test_what_is_wrong_is_one_error_before_anything_runs(folder):
    file = folder / "some.yaml"
    with pytest.raises(InputError, match="no experiment of third; the groups are: first, second"):
        run_experiments(file, ["third"], 1, ["test"])
    with held("sweeps"), pytest.raises(InputError, match="is already doing this work"):
        run_experiments(file, [], 1, ["test"])
    change(file, "steps: 5", "stops: 5")
    with pytest.raises(InputError, match=r"train\.stops is not a parameter"):
        run_experiments(file, [], 1, ["test"])
    change(file, "stops: 5", "steps: 5")
    (folder / "data/test.json").unlink()
    with pytest.raises(InputError, match=r"data/test\.json: not a list of data sets"):
        run_experiments(file, [], 1, ["test"])
    (folder / "runs/other/memory.npz").unlink()
    with pytest.raises(InputError, match=r"runs/other/memory\.npz is missing"):
        run_experiments(file, [], 1, ["test"])
    assert not (folder / "sweeps/dvc.yaml").exists()


def test_a_real_row_is_trained_and_scored_as_its_settings_say(tmp_path, body, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plain = {
        name: {k: v for k, v in vars(values).items() if isinstance(v, (int, float, str))}
        for name, values in {"train": OPTIONS, "machine": MACHINE}.items()
    }
    write_folder(tmp_path, MEMORIES, plain)
    for name in ("pmnet", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    world = write_world(tmp_path / "data", body)
    for run, memory in (("p3dh", world.memory), ("single", world.single)):
        (tmp_path / f"runs/{run}/memory.npz").write_bytes(memory.read_bytes())
    (tmp_path / "data/body.npz").write_bytes(world.body.read_bytes())
    (tmp_path / "some.yaml").write_text(YAML_TEXT)
    run_experiments(Path("some.yaml"), ["second"], 1, ["validation"])
    errors = read_errors([tmp_path / "sweeps/longer/errors.parquet"])
    assert set(errors["run"]) == {"longer"} and set(errors["seed"]) == {0}
    log = (tmp_path / "sweeps/longer/seed_0/train/seed_0.csv").read_text()
    assert len(log.splitlines()) == 1 + 5
    assert (
        json.loads((tmp_path / "sweeps/longer/settings.json").read_text())["loss"]["pose"] == 2e-5
    )
    assert not list((tmp_path / ".work/checkpoints").glob("*.ckpt"))


def test_the_rows_depend_on_what_the_graph_says_of_the_stages(folder):
    run_experiments(folder / "some.yaml", ["second"], 1, ["test"], dry=True)
    assert trained(folder) == []
    stages = YAML(typ="safe").load((folder / "sweeps/dvc.yaml").read_text())["stages"]
    shared = ["../data/body.npz", "../runs/${item.memory}/memory.npz"]
    files = ["../data/samples.arrow", "../data/images.arrow"]
    assert stages["train_row"]["do"]["deps"] == [
        *("code_of_train.json", "${item.name}/settings.json", *shared, "../data/train.json", *files)
    ]
    models = "${item.name}/seed_${item.seed}/train/seed_${item.seed}.pt"
    mean = "../runs/single/memory.npz"
    assert stages["evaluate_row"]["do"]["deps"] == [
        *("code_of_evaluate.json", models, *shared, mean, "../data/test.json", *files)
    ]
    code = json.loads((folder / "sweeps/code_of_evaluate.json").read_text())
    assert "pmnet/runs/row.py" in code and "pmnet/model/code.py" in code
    assert not [name for name in code if name.startswith(("stages", "pmnet/training"))]


@pytest.mark.parametrize("name", ["experiments", "experiments_224", "rates"])
def test_the_experiments_of_the_open_benchmark_are_read(name, monkeypatch):
    monkeypatch.chdir(ROOT / "open")
    experiments = read_experiments(Path(f"{name}.yaml"))
    rows = [row for key, experiment in experiments.items() for row in experiment.rows(key)]
    assert rows and all(row.settings(Path("params.yaml")).seeds == [row.seed] for row in rows)
    assert len({row.key for row in rows}) == len(rows)
