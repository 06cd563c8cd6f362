"""The benchmark of training: its sections run, its table is kept, its rival trains on the same people."""

import math

import numpy as np
import pytest
import torch

from benchmarks.rates import Clock, Plan, covered
from benchmarks.training.__main__ import Benchmark, parsed
from benchmarks.training.spin import spin_style_loop
from benchmarks.training.spin_people import MEAN, STD, People
from benchmarks.training.table import Table, summary
from benchmarks.training.world import World, world_of, write_world
from pmnet.images.augmentation import Labels, Moves

TINY = ["--device", "cpu", "--size-px", "64", "--batch", "4", "--encoder", "squeezenet1_1"]
SHORT = ["--samples", "8", "--steps", "1", "--window", "1", "--workers", "1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    world = world_of(tmp_path_factory.mktemp("benchmark"), parsed(TINY + SHORT))
    write_world(world, 8, "cpu", 3)
    return world


def test_the_sections_write_their_rows(world, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # threads that share a core take seconds a step
    alone = {"workers": 0, "watched": False}  # and processes take seconds to start
    monkeypatch.setattr(
        "benchmarks.training.__main__.spin_style_loop", lambda *a: spin_style_loop(*a[:3], **alone)
    )
    file = tmp_path / "train_cpu.csv"
    benchmark = Benchmark(parsed(TINY + SHORT), world, Table(file, "here"))
    for section in (benchmark.bare, benchmark.ours, benchmark.spin):
        section()
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    assert header == ["what", "images_per_s", "peak_gib", "machine"]
    assert [row[0] for row in rows] == ["bare_encoder", "pmnet_loop", "spin_style_loop"]
    assert all(float(row[1]) > 0 and float(row[2]) >= 0 and row[3] == "here" for row in rows)
    assert len(summary(benchmark.table.rates)) == 2


def test_a_row_replaces_its_own_and_leaves_the_others(tmp_path):
    file = tmp_path / "train_gpu.csv"
    Table(file, "one").add("bare_encoder", 1.0, 2.0)
    Table(file, "one").add("pmnet_loop", 3.0, 4.0)
    Table(file, "two").add("bare_encoder", 5.0, 6.0)
    rows = file.read_text().split()[1:]
    assert rows == ["bare_encoder,5.0,6.0,two", "pmnet_loop,3.0,4.0,one"]


def test_windows_of_the_warm_up_do_not_count():
    clock = Clock(Plan(window=10, warm=2, timed=3), batch=4)
    clock._ends = [0.0, 9.0, 10.0, 12.0, 13.0, 17.0]  # the last is a window after the timed ones
    assert clock.rates() == [40.0, 20.0, 40.0]
    assert clock.rate == 40.0
    assert clock.seconds_over(5) == pytest.approx(3.0)


def test_the_union_of_intervals():
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.0)]) == 4.0
    assert covered([]) == 0.0


@pytest.mark.parametrize(
    ("flip", "turn_deg", "width"), [(False, 0.0, 1.0), (True, 25.0, 1.1), (False, -40.0, 0.8)]
)
def test_the_rival_changes_people_as_we_do(world, flip, turn_deg, width):
    people, row = People(world), 2
    _, _, data = world.opened()
    turn, rows = math.radians(turn_deg), torch.tensor([row])
    moves = Moves(
        mirror=torch.tensor([flip]),
        angle=torch.tensor([turn]),
        scale=torch.tensor([1 / width]),
        shift=torch.zeros(1, 2),
    )
    targets = data.targets[rows]
    ours = moves.labels(Labels(targets.params, targets.keypoints_2d, targets.keypoints_3d), "j24")
    points, bones = people._keypoints(row, flip, turn, width)
    assert np.allclose(points, ours.keypoints_2d[0], atol=1e-5)
    assert np.allclose(bones, ours.keypoints_3d[0], atol=1e-5)
    assert np.allclose(people._pose(row, flip, turn), ours.params.rotmats[0], atol=1e-5)
    image = people._image(row, flip, turn, width, np.ones(3, np.float32)) * STD + MEAN
    stored = data.images.read(rows).permute(0, 3, 1, 2).float() / 255
    difference = np.abs(image - moves.images(stored, 64, "edge")[0].numpy())
    middle = difference[
        :, 16:48, 16:48
    ]  # what lies beyond the file is black to one, continued by the other
    assert middle.max() < 0.02
