"""How near training bodies are to a test body: beside a search of all pairs, and refusals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_world import draw_samples

from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.evaluation.density import NEIGHBOURS, density, write_density


def write_list(folder: Path, name: str, samples: Samples) -> Path:
    """Write samples and the list that names them; return the list."""
    path = folder / f"{name}.arrow"
    samples.save(path)
    sets = folder / f"{name}.json"
    sets.write_text(json.dumps({"samples": [str(path)], "images": [str(path)]}))
    return sets


def test_the_tenth_nearest_by_hand():
    known = torch.zeros(12, 72)
    known[:, 0] = torch.arange(12.0)  # one coordinate of one joint: 0 to 11 m
    found = density(torch.zeros(2, 72), known)
    assert found.tolist() == pytest.approx([1000 * 9 / 24**0.5] * 2)


def test_the_table_is_that_of_a_search_of_all_pairs(tmp_path, body):
    samples = draw_samples(body)
    rows = torch.arange(len(samples))
    flags = torch.ones(len(samples), dtype=torch.bool).index_fill(0, torch.tensor([1]), False)
    test = replace(samples.select(rows[:6]), has_smpl=flags[:6])
    lists = write_list(tmp_path, "test", test), write_list(tmp_path, "train", samples)
    table = write_density(*lists, body, out := tmp_path / "density.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(out), table)
    assert table["sample"].tolist() == [0, 2, 3, 4, 5]
    assert set(table["dataset"]) == {samples.about.dataset}
    joints = body.joints(samples.body_params()).numpy()
    joints -= joints[:, :1]
    for row, found in zip(table["sample"], table["neighbour_mm"], strict=True):
        apart = np.sqrt(((joints - joints[row]) ** 2).sum(2).mean(1))
        assert found == pytest.approx(1000 * np.sort(apart)[NEIGHBOURS - 1], abs=0.5)


def test_what_cannot_be_compared_is_refused(tmp_path, body):
    samples = draw_samples(body)
    other = replace(samples, about=replace(samples.about, body="f" * 64))
    few = samples.select(torch.arange(NEIGHBOURS - 1))
    good = write_list(tmp_path, "good", samples)
    for sets, words in (
        (write_list(tmp_path, "other", other), r"other\.arrow: ingested with another body model"),
        (
            write_list(tmp_path, "few", few),
            r"few\.json: has 9 bodies, .*; add training sets",
        ),
    ):
        with pytest.raises(InputError, match=words):
            write_density(good, sets, body, tmp_path / "density.parquet")
    assert not (tmp_path / "density.parquet").exists()
