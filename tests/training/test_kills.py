"""Processes that are killed (SIGKILL) at random moments: what is run again ends with the same bytes.

They are forked, so that they start in no time; `python -m benchmarks.kills` kills whole commands, DVC's too.
"""

import multiprocessing
import os
import random
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_world
from tiny_world import OPTIONS, World, write_world

from pmnet.core import checkpoints

LONG = replace(OPTIONS, seeds=[0, 1], steps=8, ema=0.5)
MACHINE = replace(tiny_world.MACHINE, checkpoint_every=2, log_every=3)
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    world = write_world(tmp_path_factory.mktemp("world"), body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", tmp_path_factory.mktemp("work"))
        # imports for seconds what each forked process would else import
        world.train(tmp_path_factory.mktemp("first"), replace(OPTIONS, steps=1))
    return world


def train(world: World, out: Path, rank: int, processes: int, port: int) -> None:
    checkpoints.FOLDER = out / "work"
    if processes > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "MASTER_PORT": port}
        sizes = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        names = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "kills"}
        os.environ.update({k: str(v) for k, v in (numbers | sizes | names).items()})
    world.train_once(out / "train", LONG, MACHINE)


def start(world: World, out: Path, processes: int) -> list[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        arguments = (world, out, rank, processes, port)
        started.append(FORK.Process(target=train, args=arguments))
        started[-1].start()
    return started


def codes(processes: list[Any]) -> list[int]:
    """Return the exit codes; nobody may wait for a process that was killed."""
    for process in processes:
        process.join(timeout=60)
    return [process.exitcode for process in processes]


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "train").iterdir()}


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_run_again_it_ends_with_the_same_bytes(world, tmp_path, processes):
    begun = time.monotonic()
    assert codes(start(world, tmp_path / "whole", processes)) == [0] * processes
    took = time.monotonic() - begun
    chance, out = random.Random(processes), tmp_path / "killed"
    running = start(world, out, processes)
    time.sleep(chance.uniform(0.2, 0.9) * took)
    chance.choice(running).kill()
    assert None not in codes(running)
    assert codes(start(world, out, processes)) == [0] * processes
    assert results(out) == results(tmp_path / "whole")


def test_all_end_where_another_process_trains(world, tmp_path):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", out / "work")
        with checkpoints.held_seed(out / "train", 0):
            assert codes(start(world, out, 2)) == [1, 1]
    assert not (out / "train").exists()
