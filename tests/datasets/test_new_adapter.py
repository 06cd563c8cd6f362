"""A new adapter is one file in `pmnet/datasets` and one entry of params.yaml: nothing else is edited."""

import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from pmnet import cli, datasets
from pmnet.body import OPEN_BODY
from pmnet.core.stage import as_command
from pmnet.data.samples import Samples
from stages.ingest import ingest

FILE = '''
"""A data set of one person per line: name, x, y (px) and width (px) of the box."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pmnet.datasets._shared.discovery import Found, files_below
from pmnet.datasets._shared.rows import Rows, to_samples


@dataclass(frozen=True)
class Options:
    images: Path
    min_px: float


def read(name, source, options, body):
    lines = [line.split() for line in source.read_text().splitlines()]
    boxes = np.array([line[1:] for line in lines], float)
    rows = Rows([line[0] for line in lines], boxes[:, :2], boxes[:, 2] / 200)
    rows = rows.select(boxes[:, 2] >= options.min_px)
    return to_samples(name, rows, source, options.images, body)


def find(root):
    return [
        Found("postcards", "boxes", path, "train", {"images": str(root), "min_px": 10.0})
        for path in files_below(root, ".boxes")
    ]
'''
ENTRY = (
    "postcards: {adapter: postcards, split: train, source: all.boxes, "
    "options: {images: ., min_px: 50}}"
)


@pytest.fixture
def postcards(tmp_path: Path, monkeypatch) -> Path:
    """A folder of postcards; beside it the adapter, which is gone again after the test."""
    adapter = tmp_path / "more" / "postcards" / "__init__.py"
    adapter.parent.mkdir(parents=True)
    adapter.write_text(FILE)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "more")])
    monkeypatch.delitem(sys.modules, "pmnet.datasets.postcards", raising=False)
    root = tmp_path / "data"
    root.mkdir()
    (root / "all.boxes").write_text("a.jpg 50 60 100\nb.jpg 70 80 20\nc.jpg 90 100 200\n")
    (root / "params.yaml").write_text(f"datasets:\n  {ENTRY}\n")
    monkeypatch.chdir(root)
    yield root
    sys.modules.pop("pmnet.datasets.postcards", None)


def run_ingest() -> Result:
    """Run the stage as `python -m stages.ingest` does, in the folder of the postcards."""
    app = typer.Typer()
    app.command()(as_command(ingest))
    where = ["--body", str(OPEN_BODY), "--out", "postcards.arrow"]
    return CliRunner().invoke(app, ["--name", "postcards", *where])


def test_the_ingest_stage_reads_it(postcards):
    done = run_ingest()
    assert done.exit_code == 0, done.output
    samples = Samples.load(postcards / "postcards.arrow")
    assert samples.image_name == ["a.jpg", "c.jpg"]
    assert torch.equal(samples.center, torch.tensor([[50.0, 60.0], [90.0, 100.0]]))
    assert samples.scale.tolist() == [0.5, 1.0]
    assert not samples.has_smpl.any()


def test_its_options_are_checked_as_those_of_all_adapters_are(postcards):
    (postcards / "params.yaml").write_text(f"datasets:\n  {ENTRY.replace('min_px', 'least_px')}\n")
    done = run_ingest()
    assert done.exit_code != 0
    assert "least_px" in str(done.output) + str(done.exception)
    assert not (postcards / "postcards.arrow").exists()


def test_pmnet_check_recognises_it(postcards):
    done = CliRunner().invoke(cli.app, ["check", str(postcards)])
    assert "postcards: boxes, train: 3 samples" in done.output
    assert "3 of 3 images are not below" in done.output
