"""The rate of our loop on several devices of this machine, each with a process that torchrun starts."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.measuring import Memory
from benchmarks.rates import start_afresh
from benchmarks.train_ours import our_loop
from benchmarks.train_world import machine_of, plan_of, world_of
from pmnet.fabric import fabric_of

FOUND = "ranks.jsonl"


def rates_of_ranks(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Yield (row, images/s, peak GiB of a device) at the same global batch, and at `batch` a device."""
    carried = {k: v for k, v in vars(options).items() if isinstance(v, (int, str))}
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={options.devices}"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "benchmarks.train_ranks", folder, json.dumps(carried)]
    )
    if done.returncode:
        raise RuntimeError("the processes of torchrun failed")
    for line in (folder / FOUND).read_text().splitlines():
        what, rate, peak_gib = json.loads(line)
        yield what, rate, peak_gib


def main(folder: Path, options: argparse.Namespace) -> None:
    """Measure in one of the processes; the first writes what it found."""
    world = world_of(folder, options)
    workers = options.workers or max((os.cpu_count() or 1) // options.devices, 1)
    machine = machine_of(torch.device(options.device).type, workers)
    fabric = fabric_of(machine)
    name = f"pmnet_loop_{options.devices}{'gpu' if fabric.device.type == 'cuda' else 'cpu'}"
    for batch in (options.batch, options.batch * options.devices):
        start_afresh()
        with Memory(fabric.device) as memory:
            loop = our_loop(world, machine, fabric, plan_of(options), batch, watched=False)
        what = name if batch == options.batch else f"{name}_batch{batch}"
        if fabric.is_global_zero:
            with (folder / FOUND).open("a") as stream:
                stream.write(json.dumps([what, loop.clock.rate, memory.peak_gib]) + "\n")
        fabric.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), argparse.Namespace(**json.loads(sys.argv[2])))
