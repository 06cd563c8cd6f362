"""`pmnet score` as a user calls it: a model of thirty lines in tables, curves and comparisons."""

import json
import re
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import field_rules
import numpy as np
import pytest
import torch
from bodies import facing
from import_closure import ROOT
from predicted import Predicted, draw_predicted, own_pose
from tiny_world import draw_samples
from typer.testing import CliRunner

from pmnet.body import OPEN_BODY, BodyModel, write_body
from pmnet.cli import app
from pmnet.core.params import parse
from pmnet.evaluation.error_table import METRICS, read_errors
from pmnet.evaluation.evaluator import write_errors
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spin import import_spin
from pmnet.report import scored, tables
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.benchmark.packing import pack
from pmnet.report.comparators import errors_of_comparators
from pmnet.report.curves import curves
from pmnet.report.options import ReportOptions
from pmnet.report.pages import to_page
from pmnet.report.run_errors import RunErrors

REPORT = parse(ReportOptions, {"tails": [5, 10], "bins": 4, "bootstrap": 50, "seed": 0}, "report")
TRAIN, TEST = 400, 120


def run(folder: Path, monkeypatch, *words: object) -> str:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["score", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def project(tmp_path_factory, body) -> Path:
    """Return a folder with params.yaml, samples, SPIN's mean body and a model's predictions."""
    folder = tmp_path_factory.mktemp("project")
    settings = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(settings.replace("bootstrap: 20000", "bootstrap: 50"))
    drawn = draw_samples(body, TRAIN + TEST)
    rows = np.arange(TRAIN + TEST)
    train, test = (
        drawn.select(part) for part in map(torch.from_numpy, (rows[:TRAIN], rows[TRAIN:]))
    )
    (folder / "data/samples/test").mkdir(parents=True)
    test = replace(test, about=replace(test.about, dataset="open_rare"))
    test.save(folder / "data/samples/test/open_rare.arrow")
    shutil.copy(OPEN_BODY, folder / "data/body.npz")
    write_mean(folder / "mean.npz", body)
    predict = runpy.run_path(str(ROOT / "examples/own_model.py"))["predict"]
    predict(train, test, folder / "mine.npz")
    predict(train.select(torch.from_numpy(rows[:60])), test, folder / "weaker.npz", 1.0)
    return folder


def write_mean(path: Path, body: BodyModel) -> None:
    none = torch.empty(0, dtype=torch.long), torch.empty(0), None
    PrototypeMemory(facing(), *none, torch.tensor([0.9, 0, 0]), "").export_spin(path)
    assert len(import_spin(path, body)) == 1


@pytest.fixture(scope="module")
def files(project) -> list[Path]:
    """Return errors of two runs (the weaker model, as if it were the graph's) and of the scored model."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mine", "weaker"):
            words = (f"{name}.npz", "--dataset", "open_rare", "--mean", "mean.npz")
            run(project, patch, *words, "--out", f"{name}.parquet")
    rows = read_errors([project / "weaker.parquet"])
    about = {"space": "vertex", "weights": "parts", "limb_weight": 5.0, "max_iterations": 5}
    about |= {"protocol": rows["protocol"].iloc[0], "selection": "hard"}
    made = []
    for name, k, shift in (("single", 1, 9.0), ("p3dh_k4_l5.0", 4, 0.0)):
        own = rows.drop(columns=["method", "k", "limb_weight", "protocol", "selection", "label"])
        own = own.assign(run=name, **{metric: own[metric] + shift for metric in METRICS})
        write_errors(own, {"run": name, "k": k, **about}, project / f"{name}.parquet")
        made.append(project / f"{name}.parquet")
    return [*made, project / "mine.parquet"]


def test_what_is_printed(project, files, monkeypatch):
    words = ("mine.npz", "--dataset", "open_rare", "--mean", "mean.npz", "--tail", "20")
    printed = run(project, monkeypatch, *words, "--against", "single.parquet", "--name", "ridge")
    rows = read_errors([project / "mine.parquet"])
    assert f"{TEST} samples of open_rare, joined by name" in printed
    assert "protocol: alignment pelvis, 24 SMPL joints, neutral body" in printed
    means = [f"{rows[metric].mean():.1f}" for metric in METRICS]
    assert re.search(
        rf"all \(n = {TEST}\): MPVPE {means[0]} \[.*MPJPE {means[1]} \[.*{means[2]} \[", printed
    )
    assert f"tail 20 % (n = {TEST // 5})" in printed and "tail 5 % (n" not in printed
    assert "ridge is" in printed and "lower than single" in printed


def test_balanced_errors_and_tails_are_those_of_ihmr(files):
    errors = RunErrors.read(files)
    rows = read_errors(files[2:])
    table = scored.balanced(errors, "mine").set_index(["metric", "group"])["value"]
    for metric in METRICS:
        expected = field_rules.ihmr(rows["distance_to_mean_mm"].to_numpy(), rows[metric].to_numpy())
        for group, name in (("all", "all"), ("tail 10 %", "tail_10"), ("tail 5 %", "tail_5")):
            found = table["b" + metric.removesuffix("_mm"), group]
            assert found == pytest.approx(expected[name], abs=1e-9)
    deciles = scored.by_decile(errors, "mine")
    assert (deciles["mpvpe_mm"] * deciles["n"]).sum() / TEST == pytest.approx(
        rows["mpvpe_mm"].mean()
    )
    assert deciles["distance_mm"].is_monotonic_increasing


def test_a_model_of_thirty_lines_is_in_tables_and_curves(files):
    errors = RunErrors.read(files)
    rows = read_errors(files[2:])
    for number in (3, 4):
        table = tables.table(number, errors, REPORT)
        own = table[table["source"] == "scored"]
        assert set(own["method"]) == {"mine"}
        whole = own[(own["subset"] == "all") & (own["metric"] == "mpvpe")]
        if number == 3:
            assert whole["mean_mm"].tolist() == [pytest.approx(rows["mpvpe_mm"].mean(), abs=0.006)]
            assert (own["low_mm"] < own["mean_mm"]).all() and (own["n"] == TEST).all()
        page = to_page(table, number, "title", errors.protocol())
        ours, other, published = re.split("\n## ", page)[1:]
        assert other.startswith("Scored") and "| mine |" in other
        assert "mine" not in ours and "mine" not in published
    lines = curves(errors, REPORT)
    assert list(lines["run"].unique()) == ["single", "p3dh_k4_l5.0", "mine"]
    mine = lines[(lines["run"] == "mine") & (lines["n"] > 0)]
    assert (mine["mpvpe_mm"] * mine["n"]).sum() / TEST == pytest.approx(rows["mpvpe_mm"].mean())


def test_a_gain_is_paired_by_sample(files):
    table = scored.gains(RunErrors.read(files), "mine", ["single"], REPORT)
    one, other = (read_errors([file])["mpvpe_mm"] for file in (files[2], files[0]))
    whole = table[(table["subset"] == "all") & (table["metric"] == "mpvpe")].iloc[0]
    assert whole["gain_mm"] == pytest.approx((other - one).mean())
    assert whole["low_mm"] < whole["gain_mm"] < whole["high_mm"]


def test_a_scored_file_is_packed_like_a_run(files, tmp_path):
    pack(files, tmp_path / "errors.parquet")
    packed = load_packed([tmp_path / "errors.parquet"])
    assert packed.runs["mine"].method == "scored"
    mean = packed.errors("mine", "model", "mpvpe_mm").mean()
    assert mean == pytest.approx(read_errors(files[2:])["mpvpe_mm"].mean(), abs=0.06)


def test_the_list_says_which_comparators_there_are(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(["spin"]))
    (tmp_path / "old.parquet").touch()
    assert errors_of_comparators(tmp_path) == [tmp_path / "spin.parquet"]


@pytest.fixture(scope="module")
def gendered(project, tmp_path_factory) -> Predicted:
    """Return predictions with male and female truth, whose samples and body lie in the project."""
    made = draw_predicted(tmp_path_factory.mktemp("gendered"))
    made.samples.save(project / "pw3d.arrow")
    write_body(project / "gendered.npz", made.body._arrays)
    return made


def named(printed: str) -> list[str]:
    """Return the lines of protocols that have a name."""
    return [
        line.strip() for line in printed.splitlines() if re.match(r" *[a-z]\w+ +\w+.*/ \w+ ", line)
    ]


def test_all_protocols_show_how_far_numbers_of_one_file_lie_apart(gendered, project, monkeypatch):
    file, _ = own_pose(project, gendered)
    words = (
        "--samples",
        "pw3d.arrow",
        "--body",
        "gendered.npz",
        "--mean",
        "mean.npz",
        "--protocol",
    )
    printed = run(project, monkeypatch, file.name, *words, "all")
    assert {"vibe", "bedlam", "wham", "hmr2"} <= {line.split(" ")[0] for line in named(printed)}
    for name in ("spin_3dpw", "ihmr"):
        one = run(project, monkeypatch, file.name, *words, name, "--name", name)
        mean = re.search(r"all \(n = 40\): MPVPE ([\d.]+)", one)[1]
        line = next(line for line in named(printed) if line.split()[0] == name)
        assert abs(float(line.split()[-3]) - float(mean)) < 0.11, name
    spread = re.search(
        r"MPVPE: from ([\d.]+) \(.*\) to ([\d.]+) \(.*\): ([\d.]+) mm apart", printed
    )
    assert float(spread[2]) - float(spread[1]) == pytest.approx(float(spread[3]), abs=0.11)
    assert float(spread[3]) > 5
