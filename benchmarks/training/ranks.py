"""The rate of our loop on several devices of this machine, each with a process that torchrun starts."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.measuring import Memory
from benchmarks.rates import start_afresh
from benchmarks.training.ours import our_loop
from benchmarks.training.world import machine_of, plan_of, world_of
from pmnet.core.distributed import fabric_of

FOUND = "ranks.json"


def rate_of_ranks(options: argparse.Namespace, folder: Path) -> tuple[str, float, float]:
    """Return (row, images/s, peak GiB of a device) at the same global batch."""
    carried = {k: v for k, v in vars(options).items() if isinstance(v, (int, str))}
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={options.devices}"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            *launch,
            "-m",
            "benchmarks.training.ranks",
            folder,
            json.dumps(carried),
        ]
    )
    if done.returncode:
        raise RuntimeError("the processes of torchrun failed")
    what, rate, peak_gib = json.loads((folder / FOUND).read_text())
    return what, rate, peak_gib


def main(folder: Path, options: argparse.Namespace) -> None:
    """Measure in one of the processes; the first writes what it found."""
    world = world_of(folder, options)
    machine = machine_of(torch.device(options.device).type, options.workers)
    fabric = fabric_of(machine, world.train.precision)
    name = f"pmnet_loop_{options.devices}{'gpu' if fabric.device.type == 'cuda' else 'cpu'}"
    start_afresh()
    watched = options.profile and fabric.is_global_zero
    with Memory(fabric.device) as memory:
        loop = our_loop(world, world.train, machine, fabric, plan_of(options), watched)
    if fabric.is_global_zero:
        loop.tell(name)
        (folder / FOUND).write_text(json.dumps([name, loop.clock.rate, memory.peak_gib]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), argparse.Namespace(**json.loads(sys.argv[2])))
