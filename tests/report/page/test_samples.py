"""The samples of a page: chosen, predicted, stored, and read strictly."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from page_samples import page_samples
from tiny_world import MACHINE, World, evaluating, write_world

from pmnet.body import OPEN_BODY, BodyModel, read_body
from pmnet.body.distance import mean_distance_mm
from pmnet.body.params import BodyParams
from pmnet.core.errors import InputError
from pmnet.evaluation.evaluator import Evaluator
from pmnet.report.options import PageOptions
from pmnet.report.page import predicting
from pmnet.report.page.bodies import ThinnedBody, is_open
from pmnet.report.page.coding import packed, rounded_by_column
from pmnet.report.page.predicting import choose_samples, predict_samples
from pmnet.report.page.samples import STEP_M, PageSamples

OPTIONS = PageOptions(samples=9, picture_px=32, picture_quality=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    """Return two runs of a tiny data set, trained for four steps and evaluated."""
    folder = tmp_path_factory.mktemp("world")
    world = write_world(folder, body)
    for run, memory in (("single", world.single), ("p3dh", world.memory)):
        own = replace(world, memory=memory)
        own.train(folder / run)
        evaluator = Evaluator.load(
            memory, folder / run, world.body, [0], evaluating(world.single), MACHINE
        )
        evaluator.write(run, [(world.samples, world.images)], folder / f"{run}.parquet", {})
    sets = {"samples": [str(world.samples)], "images": [str(world.images)]}
    (folder / "test.json").write_text(json.dumps(sets))
    return world


def predict(world: World, *runs: str) -> PageSamples:
    folder = world.samples.parent
    memories = {"single": world.single, "p3dh": world.memory}
    return predict_samples(
        [folder / f"{run}.parquet" for run in runs],
        [memories[run] for run in runs],
        [folder / run for run in runs],
        folder / "test.json",
        world.body,
        OPTIONS,
    )


def test_predictions_are_those_whose_errors_were_measured(world, body, tmp_path):
    predict(world, "single", "p3dh").save(tmp_path / "samples.npz")
    samples = PageSamples.load(tmp_path / "samples.npz")
    assert len(samples) == 9 and [run.k for run in samples.header.runs] == [1, 3]
    assert samples.bodies.shape == (4 + 3 * 9, 85) and samples.picture(3)[8:12] == b"WEBP"

    def vertices(rows: np.ndarray) -> torch.Tensor:
        numbers = torch.from_numpy(samples.bodies[rows])
        params = BodyParams.from_rotvecs(numbers[:, :72].view(-1, 24, 3), numbers[:, 72:82])
        return body.vertices(params) - body.joints(params)[:, :1]

    for run in range(2):
        away = mean_distance_mm(vertices(samples.predicted[run]), vertices(samples.truth))
        assert np.abs(away.numpy() - samples.errors_mm[run, :, 0]).max() < 0.05


def test_of_another_body_only_thinned_posed_vertices_are_stored(world, body, monkeypatch):
    monkeypatch.setattr(predicting, "is_open", lambda model: False)
    samples = predict(world, "single", "p3dh")
    thinned = ThinnedBody.of(body)
    assert samples.header.form == "vertices" and samples.bodies.dtype == np.int16
    assert samples.bodies.shape == (4 + 3 * 9, len(thinned.vertices), 3)
    assert len(thinned.vertices) < len(body.parts) / 5
    rest = body.rest_shape()[0].T[thinned.vertices].numpy()
    rest = rest - rest.mean(0)
    for stored in samples.bodies * STEP_M:
        assert np.linalg.norm(stored - stored.mean(0) - rest, axis=1).mean() > 0.01


def test_only_the_open_body_is_open(body):
    assert is_open(body)
    arrays = read_body(OPEN_BODY)
    assert not is_open(BodyModel({**arrays, "v_template": arrays["v_template"] * np.float32(1.01)}))


def test_runs_need_a_memory_and_networks_each(world):
    folder = world.samples.parent
    files = [folder / "single.parquet", folder / "p3dh.parquet"], [world.single]
    with pytest.raises(InputError, match="2 --errors, 1 --memories and 1 --models"):
        predict_samples(*files, [folder / "single"], folder / "test.json", world.body, OPTIONS)


def test_two_thirds_are_spread_and_one_third_is_the_worst():
    rows = np.arange(100)
    errors = pd.DataFrame(
        {"sample": rows, "distance_to_mean_mm": rows * 1.0, "mpvpe_mm": (rows * 37) % 100 * 1.0}
    ).assign(mpjpe_mm=0.0)
    chosen = choose_samples(errors, 30)
    assert len(chosen) == 30 and chosen["sample"].is_monotonic_increasing
    assert {0, 99} <= set(chosen["sample"])
    assert {96.0, 97.0, 98.0, 99.0} <= set(chosen["mpvpe_mm"])
    assert len(choose_samples(errors, 500)) == 100
    unknown = errors.assign(distance_to_mean_mm=np.nan, mpjpe_mm=errors["mpvpe_mm"])
    assert 99.0 in set(choose_samples(unknown, 30)["mpjpe_mm"])


BROKEN = {
    "bodies": lambda a: a[:, :80],
    "truth": lambda a: a + 10_000,
    "predicted": lambda a: a[:, :-1],
    "chosen": lambda a: a + 7,
    "first": lambda a: a + 1,
    "picture_ends": lambda a: a[::-1],
    "errors_mm": lambda a: a.astype(str),
    "sizes": lambda a: a[:-1],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_refused(name, body, tmp_path):
    path = tmp_path / "samples.npz"
    page_samples(body, 4).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, name: BROKEN[name](arrays[name])})
    with pytest.raises(InputError, match=r"samples\.npz: not samples for the page .* page_samples"):
        PageSamples.load(path)
    del arrays[name]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=f"{name} is missing"):
        PageSamples.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no npz at all"])
def test_another_file_is_refused(content, tmp_path):
    path: Path = tmp_path / "samples.npz"
    with pytest.raises(InputError, match="no such file of samples"):
        PageSamples.load(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"samples\.npz"):
        PageSamples.load(path)


def test_numbers_beyond_16_bits_are_not_packed():
    with pytest.raises(ValueError, match="do not fit in 16 bits"):
        packed(np.array([0, 40_000]))
    assert rounded_by_column(np.zeros((2, 3))).step == [1e-9] * 3
