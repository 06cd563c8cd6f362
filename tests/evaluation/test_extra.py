"""Metrics beside the paper's: numbers by hand, and a new one is one file and one line of configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_world import MACHINE, World, evaluating, write_world

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.evaluation import extra
from pmnet.evaluation.error_table import METRICS
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.extra import Comparison, extra_metrics, pck
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.summary import summary

# the worst vertex (mm), as a user would add it
WORST = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    unit_m: float


def measure(comparison, options):
    gaps = (comparison.pred_vertices - comparison.true_vertices).norm(dim=-1)
    return gaps.amax(1) / options.unit_m
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory, body: BodyModel) -> World:
    folder = tmp_path_factory.mktemp("world")
    world = write_world(folder, body)
    world.train(folder / "train")
    return world


def evaluate(world: World, run: str, **extra: Any) -> Path:
    """Write the errors of a run with P3DH or the single prototype; return the file."""
    memory = world.memory if run == "p3dh" else world.single
    world = replace(world, memory=memory)
    models = world.samples.parent / f"train_{run}"
    if not models.exists():
        world.train(models)
    out = world.samples.parent / f"{run}_{len(extra)}.parquet"
    files, options = (memory, models, world.body), evaluating(world.single, extra=extra)
    evaluator = Evaluator.load(*files, [0], options, MACHINE)
    evaluator.write(run, [(world.samples, world.images)], out, {})
    return out


def test_pck_counts_known_joints_within_the_threshold():
    true = torch.zeros(2, 4, 3)
    pred = torch.zeros(2, 4, 3)
    pred[0, :, 0] = torch.tensor([0.0, 0.149, 0.151, 0.5])
    pred[1, :, 1] = 1.0
    known = torch.tensor([[True, True, True, False], [True, True, True, True]])
    share = pck.measure(Comparison(pred, true, known, None, None), pck.Options(threshold_mm=150.0))
    torch.testing.assert_close(share, torch.tensor([200 / 3, 0.0]))


def test_a_metric_is_added_by_one_file_and_one_line_of_configuration(world, tmp_path, monkeypatch):
    (tmp_path / "worst_vertex_mm.py").write_text(WORST)
    monkeypatch.setattr(extra, "__path__", [*extra.__path__, str(tmp_path)])
    runs, worst = ("single", "p3dh"), {"unit_m": 0.001}
    errors = RunErrors.read([evaluate(world, run, worst_vertex_mm=worst) for run in runs])
    plain = RunErrors.read([evaluate(world, run) for run in runs])
    assert errors.extra == ("worst_vertex_mm",) and plain.extra == ()
    for metric in METRICS:
        assert (
            errors.errors("p3dh", "model", metric) == plain.errors("p3dh", "model", metric)
        ).all()
    found = errors.errors("p3dh", "model", "worst_vertex_mm")
    assert (found > errors.errors("p3dh", "model", "mpvpe_mm")).all()
    numbers = summary(errors, ReportOptions(tails=[10], bins=4, bootstrap=20, seed=0))
    (dataset,) = numbers["p3dh"]
    assert numbers["p3dh"][dataset]["worst_vertex_mm"] == round(float(found.mean()), 2)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"pkc": {}}, r"evaluate\.extra\.pkc: no such metric; known are: auc, pa_mpvpe_mm, pck"),
        ({"pck": {}}, r"evaluate\.extra\.pck\.threshold_mm: missing"),
        ({"pck": {"threshold_mm": "far"}}, r"evaluate\.extra\.pck\.threshold_mm: expected float"),
        ({"pck": None}, r"evaluate\.extra\.pck: expected a section"),
    ],
)
def test_what_is_no_metric_is_refused(chosen, message):
    with pytest.raises(InputError, match=message):
        extra_metrics(chosen, "evaluate.extra")
