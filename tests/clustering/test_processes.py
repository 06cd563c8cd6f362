"""The cluster stage in two processes of a launcher; this file is also what they run."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pmnet.body import OPEN_BODY
from pmnet.body.camera import View
from pmnet.body.parts import PartWeights
from pmnet.clustering.exact import chunks
from pmnet.clustering.options import Cluster
from pmnet.core import checkpoints
from pmnet.core.device import Machine
from pmnet.datasets import synthetic
from pmnet.memory.prototypes import PrototypeMemory
from stages.cluster import cluster

PARTS = PartWeights(torso=1.0, foot=0.5, head=0.3, hand=0.3)
CHUNK = 32  # bodies
OPTIONS = Cluster(5, 5.0, PARTS, 6, 0.0, 0, "random", 2, "mean")


def stage(sets: Path, out: Path, device: str) -> None:
    machine = Machine(device, 1, 1, 1.0, 1.0, 1, 1)
    cluster(sets, OPEN_BODY, out, OPTIONS, machine)


def launch(sets: Path, out: Path, device: str) -> list[int]:
    """Return the exit codes of two processes started as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    tests = Path(__file__).parents[1] / "helpers"
    common = {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parents[1]), *sys.path]),
        "PMNET_WORK": str(sets.parent / "work"),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": port,
    }
    workers = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [sys.executable, __file__, str(sets), str(out), device]
        workers.append(subprocess.Popen(command, env=os.environ | common | own))
    return [worker.wait(120) for worker in workers]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_stage_in_two_processes_writes_what_one_writes(body, tmp_path, monkeypatch, device):
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("there are no two GPUs")
    view = View(20.0, 0.2, 5.0, 2.0, 0.88, 0.04, 0.04)
    families = {"stand": 1.0, "kick": 1.0, "handstand": 1.0}
    options = synthetic.Options(90, families, 5.0, 0.5, view, 0)
    synthetic.read("toy", Path(), options, body).save(tmp_path / "toy.arrow")
    sets = tmp_path / "sets.json"
    sets.write_text(json.dumps({"samples": [str(tmp_path / "toy.arrow")], "images": []}))
    assert launch(sets, tmp_path / "two.npz", device) == [0, 0]
    monkeypatch.setattr(chunks, "CHUNK", CHUNK)
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "work")
    stage(sets, tmp_path / "one.npz", device)
    one, two = (PrototypeMemory.load(tmp_path / f"{name}.npz") for name in ("one", "two"))
    assert torch.equal(one.assignments, two.assignments)
    assert torch.equal(one.prototypes.rotmats, two.prototypes.rotmats)
    assert torch.equal(one.prototypes.betas, two.prototypes.betas)
    # float32 products of other shapes round otherwise: within the bounds, not to the bit
    torch.testing.assert_close(one.distances, two.distances, atol=1e-3, rtol=2e-3)
    assert [row.changed for row in one.history] == [row.changed for row in two.history]


if __name__ == "__main__":
    chunks.CHUNK = CHUNK
    stage(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
