"""Experiments side by side: what is done is not done again, and nobody waits for a killed worker."""

import json
import shutil

import pytest
from deadly import DeadlyJob
from import_closure import ROOT
from ruamel.yaml import YAML
from tiny_world import MACHINE, OPTIONS, write_world

from pmnet.core.errors import InputError
from pmnet.data.sets import Split
from pmnet.evaluation.error_table import read_errors
from pmnet.report.benchmark.packing import pack
from pmnet.runs.experiments import Experiment, Job, _side_by_side, read_experiments, run_experiments

YAML_TEXT = """
experiments:
  plain: {label: plain, group: first, memories: {p3dh: [1], other: [0]}, set: {}}
  longer: {label: longer, group: second, memories: {p3dh: [0]}, set: {steps: STEPS}}
"""


@pytest.fixture
def folder(tmp_path, body, monkeypatch):
    """Return a folder laid out as the graph leaves it, with settings that train in seconds."""
    monkeypatch.chdir(tmp_path)
    world = write_world(tmp_path, body)
    for run, memory in (("p3dh", world.memory), ("other", world.memory), ("single", world.single)):
        (tmp_path / "runs" / run).mkdir(parents=True)
        shutil.copy(memory, tmp_path / "runs" / run / "memory.npz")
    (tmp_path / "data").mkdir()
    shutil.copy(world.body, tmp_path / "data/body.npz")
    sets = {"samples": [str(world.samples)], "images": [str(world.images)]}
    for name in ("train", "validation", "test"):
        (tmp_path / f"data/{name}.json").write_text(json.dumps(sets))
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    changed = {"train": vars(OPTIONS), "machine": vars(MACHINE)}
    for section, values in changed.items():
        plain = {k: v for k, v in values.items() if isinstance(v, (int, float, str))}
        settings[section] |= plain
    with (tmp_path / "params.yaml").open("w") as stream:
        YAML(typ="safe").dump(settings, stream)
    return tmp_path


def test_experiments_are_run_once_for_the_same_settings(folder, capsys):
    file, settings = folder / "experiments.yaml", folder / "params.yaml"

    def jobs(steps: int, groups: list[str], splits: tuple[Split, ...] = ("test",)) -> str:
        file.write_text(YAML_TEXT.replace("STEPS", str(steps)))
        run_experiments(file, settings, groups, 1, splits)
        (said,) = [line for line in capsys.readouterr().err.splitlines() if "jobs to do" in line]
        return said

    assert jobs(5, []) == "3 of 3 jobs to do"
    found = read_errors([folder / "sweeps/plain/errors.parquet"])
    assert set(found["run"]) == {"plain"} and set(found["seed"]) == {0, 1}
    assert jobs(5, []) == "0 of 3 jobs to do"
    assert jobs(6, ["second"]) == "1 of 1 jobs to do"
    assert jobs(6, ["second"], ("validation", "test")) == "1 of 1 jobs to do"
    with pytest.raises(InputError, match="no experiment of third; the groups are: first, second"):
        jobs(6, ["third"])
    pack([folder / "sweeps/plain/errors.parquet"], folder / "packed.parquet")
    file.write_text(YAML_TEXT.replace("STEPS", "6").replace("p3dh: [1]", "p3dh: [1, 2]"))
    run_experiments(file, settings, ["first"], 1, ("test",), [folder / "packed.parquet"])
    assert "1 of 1 jobs to do" in capsys.readouterr().err  # seeds 0 and 1 are packed
    assert set(read_errors([folder / "sweeps/plain/errors.parquet"])["seed"]) == {2}
    shutil.rmtree(folder / "runs/p3dh")
    with pytest.raises(InputError, match=r"memory\.npz is missing"):
        jobs(6, [])


def test_what_a_killed_worker_leaves_undone_has_failed():
    experiment = Experiment("label", "group", {"single": [0, 1]}, {})
    jobs: list[Job] = [DeadlyJob("deadly", experiment, "single", seed, ()) for seed in (0, 1)]
    assert list(_side_by_side(jobs, ROOT / "params.yaml", 1)) == ["deadly seed 0", "deadly seed 1"]


def test_a_list_of_values_is_a_grid(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "experiments:\n  some: {label: some, group: g, memories: {m: [3], n: [0, 1]},"
        " set: {steps: 5, learning_rate: [1.0e-4, 0.001], clip_norm: [0.0, 1.0]}}\n"
    )
    found = read_experiments(file)
    assert list(found) == ["some+0.0001+0.0", "some+0.0001+1.0", "some+0.001+0.0", "some+0.001+1.0"]
    assert found["some+0.0001+1.0"].set == {"steps": 5, "learning_rate": 1e-4, "clip_norm": 1.0}
    jobs = found["some+0.0001+1.0"].jobs("name", ("test",))
    assert [(job.memory, job.seed) for job in jobs] == [("n", 0), ("n", 1), ("m", 3)]
    file.write_text(file.read_text().replace("m: [3]", "m: [1]"))
    with pytest.raises(
        InputError, match=r"some\.memories: expected different seeds, got \[1, 0, 1\]"
    ):
        read_experiments(file)
