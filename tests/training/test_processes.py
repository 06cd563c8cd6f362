"""Two processes that share each batch: what they train and write is what one alone would."""

import csv
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import two_processes
from ruamel.yaml import YAML
from tiny_world import OPTIONS, SPIN, World, draw_samples, write_world
from torch.distributed.run import get_args_parser

from pmnet.body import BodyModel
from pmnet.core import checkpoints
from pmnet.evaluation import evaluator

TESTS = Path(__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS / 'helpers'}",
    "OMP_NUM_THREADS": "1",
}
# an encoder without BatchNorm, whose statistics are those of a process
EVERYTHING = replace(
    OPTIONS, augmentation=SPIN, start="mixed", clip_norm=1.0, ema=0.5, seeds=[0, 1], steps=3
)


@pytest.fixture(scope="module")
def world(tmp_path_factory, body: BodyModel) -> World:
    """Return a world where some samples have no body: those who have fall unevenly on processes."""
    samples = draw_samples(body)
    samples.has_smpl[torch.tensor([0, 1, 2, 4, 8, 16])] = False
    return write_world(tmp_path_factory.mktemp("world"), body, samples)


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory):
    """Leave the places of checkpoints and the size of blocks to other tests as they were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", tmp_path_factory.mktemp("work"))
        patch.setattr(evaluator, "BLOCK", two_processes.BLOCK)
        yield


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    two_processes.train(world, EVERYTHING, out)
    return out


@pytest.fixture(scope="module")
def together(world, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("together")
    torch.save((world, EVERYTHING), out / "given")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*launch, str(TESTS / "helpers/two_processes.py"), str(out)], env=ENVIRONMENT, check=True
    )
    return out


def test_two_processes_train_the_network_of_one(alone, together):
    for seed in EVERYTHING.seeds:
        one, two = (
            torch.load(out / f"train/seed_{seed}.pt", weights_only=True)["state"]
            for out in (alone, together)
        )
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def test_two_processes_log_the_whole_batch(alone, together):
    logs = [
        [
            row
            for seed in EVERYTHING.seeds
            for row in csv.DictReader((out / f"train/seed_{seed}.csv").open())
        ]
        for out in (alone, together)
    ]
    assert len(logs[0]) == len(EVERYTHING.seeds) * EVERYTHING.steps
    for one, two in zip(*logs, strict=True):
        for name, value in one.items():
            assert float(two[name]) == pytest.approx(float(value), rel=1e-4, abs=2e-6), name


def test_two_processes_write_the_errors_that_one_writes(world, together, tmp_path):
    mine = tmp_path / "errors.parquet"
    two_processes.evaluate(world, EVERYTHING, together / "train", mine)
    assert mine.read_bytes() == (together / "errors.parquet").read_bytes()


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_torchrun_takes_no_option_of_a_stage_for_its_own(stage):
    graph = YAML(typ="safe", pure=True).load((TESTS.parent / "dvc.yaml").read_text())
    entry = graph["stages"][stage]
    python, _, name, *options = shlex.split(entry.get("do", entry)["cmd"])
    assert name == stage
    command = [python, "-m", f"stages.{stage}", *options]  # as the launcher starts it
    parsed = get_args_parser().parse_args(["--standalone", "--no-python", *command])
    assert [parsed.training_script, *parsed.training_script_args] == command
