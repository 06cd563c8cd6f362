"""Quality of clusterings against K: numbers by hand, and the command on files."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from bodies import embedding, options, random_bodies

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.camera import View
from pmnet.clustering.build import MemoryRequest
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.options import Cluster
from pmnet.clustering.quality import qualities
from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.core.errors import InputError
from pmnet.datasets import synthetic
from pmnet.memory.spaces import ParameterSpace
from pmnet.report.memory_quality import write_quality

ROOT = Path(__file__).parents[2]
OPTIONS = options(1, max_iterations=10)


def test_groups_that_are_plain_are_found_again_whatever_the_seed():
    some = random_bodies(4)
    params = BodyParams.cat([some] * 25)  # four places, 25 bodies each
    rows = list(
        qualities(embed_bodies(embedding(ParameterSpace()), params, 1.0), OPTIONS, [1, 4], 4)
    )
    assert [(row.k, row.seeds) for row in rows] == [(1, 4), (4, 4)]
    assert rows[0].drift == pytest.approx(0, abs=1e-3)  # one mean, whatever the seed
    assert rows[0].largest_share == rows[0].smallest_share == 1
    assert rows[0].tail_distance >= rows[0].mean_distance >= rows[0].head_distance
    assert rows[1].mean_distance < rows[0].mean_distance
    far_apart = replace(OPTIONS, init="kmeans++")  # a body of each place
    (row,) = qualities(embed_bodies(embedding(ParameterSpace()), params, 1.0), far_apart, [4], 2)
    assert row.mean_distance == pytest.approx(0, abs=1e-3)
    assert row.drift == pytest.approx(0, abs=1e-3) and row.empty == 0
    assert row.largest_share == row.median_share == row.smallest_share == 0.25


def test_one_seed_has_no_drift():
    points = embed_bodies(embedding(ParameterSpace()), random_bodies(40), 1.0)
    (row,) = qualities(points, OPTIONS, [3], 1)
    assert math.isnan(row.drift)
    (row,) = qualities(points, OPTIONS, [8], 3)
    assert row.drift > 0
    assert row.drift_share == pytest.approx(row.drift / row.mean_distance, rel=0.2)


def test_the_command_writes_a_table_and_a_plot(tmp_path):
    body = BodyModel.load(OPEN_BODY)
    view = View(20.0, 0.2, 5.0, 2.0, 0.88, 0.04, 0.04)
    drawn = synthetic.Options(40, {"stand": 1.0, "kick": 1.0}, 5.0, 0.5, view, 0)
    synthetic.read("toy", Path(), drawn, body).save(tmp_path / "toy.arrow")
    cluster = params.load(ROOT / "params.yaml", "cluster", Cluster, {"max_iterations": 3})
    machine = params.load(ROOT / "params.yaml", "machine", Machine, {"device": "cpu"})
    files = [tmp_path / "toy.arrow"]
    request = MemoryRequest(files, OPEN_BODY, cluster, "vertex", "parts", machine.cache_gib)
    table = write_quality(request, [4, 2], 2, tmp_path / "out" / "quality")
    assert table["k"].tolist() == [2, 4]
    read = pd.read_csv(tmp_path / "out" / "quality.csv")
    assert read.columns.tolist() == table.columns.tolist()
    assert torch.isfinite(torch.from_numpy(read.to_numpy())).all()
    assert (tmp_path / "out" / "quality.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="at least one --k"):
        write_quality(request, [], 2, tmp_path / "x")
