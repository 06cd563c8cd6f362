"""`pmnet info`: files whose columns are all missing, tables and reports, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_world import draw_samples

from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.report.describe import describe


def lines(file: Path) -> str:
    return "\n".join(describe(file))


@pytest.fixture
def samples(body) -> Samples:
    return draw_samples(body)


def test_a_column_that_is_all_missing_is_unknown(tmp_path, samples):
    missing = torch.full_like(samples.camera, torch.nan)
    replace(samples, camera=missing).save(tmp_path / "s.arrow")
    assert "camera (3): unknown; weak perspective" in lines(tmp_path / "s.arrow")


def test_no_samples_at_all_are_described(tmp_path, samples):
    samples.select(torch.empty(0, dtype=torch.long)).save(tmp_path / "s.arrow")
    text = lines(tmp_path / "s.arrow")
    assert "0 samples" in text and "betas (10): unknown" in text


def test_a_log_is_described_by_its_columns(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,note\n0,3.5,\n50,1.25,\n")
    text = lines(tmp_path / "log.csv")
    assert "a table of 2 rows" in text and "loss: 1.25 to 3.5, last 1.25" in text
    assert "note: empty" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"samples": ["a.arrow"], "images": ["b.arrow"]}, "samples: 1 entries (a.arrow)"),
        ({"mpvpe": 12.5, "deep": {"a": 1, "b": 2}}, "deep: 2 keys (a, b)"),
        ([1, 2, 3], "JSON, 3 entries (1, 2, 3)"),
    ],
)
def test_a_json_is_described_by_its_keys(tmp_path, content, said):
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert said in lines(tmp_path / "metrics.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", b"", "not a readable csv"),
        ("m.json", b"<html>", "page of a web site"),
        ("a.txt", b"text", "expected one of .arrow"),
        ("b.npz", b"", "b.npz: not a readable"),
    ],
)
def test_what_cannot_be_described_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        lines(tmp_path / name)


def test_a_folder_is_told_what_to_do(tmp_path):
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        lines(tmp_path)
