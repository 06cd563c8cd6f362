"""Training beside the bare encoder and beside a loop in SPIN's style: same data, same machine, one run.

`python -m benchmarks.training` writes reports/benchmarks/train_{gpu,cpu}.csv, each row once it is measured;
`--quick` takes few small steps and writes nothing. `--devices 2` adds the loop on two GPUs of this machine.
Images/s are medians of windows of steps, after a warm-up with all compiling and capturing.

- `bare_encoder`: forward, backward and Adam of the torchvision encoder alone on one batch that stays on the
  device; the fastest of several ways to run it, all printed.
- `pmnet_loop`: the whole loop of the train stage from a file of JPEG images on disk: decoding, augmentation,
  labels, losses on J24, one optimizer. `pmnet_loop_resident`: the same with all images on the GPU.
  `pmnet_loop_plain`: from the file, nothing compiled. `pmnet_loop_2gpu`: on two GPUs that share the batch.
- `spin_style_loop`: see benchmarks/training/spin.py; `spin_style_loop_tf32` with TF32 convolutions.

`peak_gib` is what torch had allocated on the GPU, or what the process grew by on the CPU. The GPU's share is
the time in which a kernel ran, by the profiler. Other loads on the machine disturb: run it alone.
"""

import argparse
import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.measuring import Memory, machine_name
from benchmarks.rates import busy_for, start_afresh
from benchmarks.training.bare import bare_rates
from benchmarks.training.ours import our_loop
from benchmarks.training.ranks import rate_of_ranks
from benchmarks.training.spin import spin_style_loop
from benchmarks.training.table import Table, summary
from benchmarks.training.world import World, machine_of, make_world, plan_of, world_of
from pmnet.core.distributed import fabric_of


class Benchmark:
    """All sections on one world."""

    def __init__(self, options: argparse.Namespace, world: World, table: Table) -> None:
        self.options, self.world, self.table = options, world, table
        self.device, self.plan = torch.device(options.device), plan_of(options)

    def bare(self) -> None:
        """Measure the encoder alone."""
        with self._memory() as memory:
            found = {}
            for how, rate, share in bare_rates(self.options, self.plan):
                found[how] = rate
                print(f"  bare encoder, {how}: {rate:.0f} images/s{busy_for(share)}", flush=True)
        self.table.add("bare_encoder", max(found.values()), memory.peak_gib)

    def ours(self) -> None:
        """Measure our loop, from the file and from the memory of the GPU."""
        self._loop("pmnet_loop")
        if self.device.type == "cuda":
            self._loop("pmnet_loop_resident", resident_gib=40.0)

    def spin(self) -> None:
        """Measure the loop in SPIN's style."""
        self._spin("spin_style_loop", tf32=False)

    def more(self) -> None:
        """Measure what compiling is worth to us, and TF32 to the other."""
        if self.device.type == "cuda":
            self._loop("pmnet_loop_plain", compiled=False)
            self._spin("spin_style_loop_tf32", tf32=True)

    def ranks(self) -> None:
        """Measure our loop on several GPUs that share the batch."""
        start_afresh()
        what, rate, peak_gib = rate_of_ranks(self.options, self.world.folder)
        self.table.add(what, rate, peak_gib)
        if one := self.table.rates.get("pmnet_loop"):
            print(f"  {rate / one:.2f} times one device", flush=True)

    def _memory(self) -> Memory:
        start_afresh()
        return Memory(self.device)

    def _loop(self, what: str, resident_gib: float = 0.0, compiled: bool = True) -> None:
        machine = machine_of(self.options.device, self.options.workers, resident_gib=resident_gib)
        train = self.world.train
        train = replace(train, compile=train.compile and compiled)
        fabric, watched = fabric_of(machine, train.precision), self.options.profile
        with self._memory() as memory:
            loop = our_loop(self.world, train, machine, fabric, self.plan, watched)
        loop.tell(what)
        self.table.add(what, loop.clock.rate, memory.peak_gib)

    def _spin(self, what: str, tf32: bool) -> None:
        cudnn = torch.backends.cudnn
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = tf32, False, True
        workers, watched = self.options.workers or os.cpu_count() or 1, self.options.profile
        with self._memory() as memory:
            clock, busy = spin_style_loop(self.world, self.device, self.plan, workers, watched)
        cudnn.allow_tf32, cudnn.benchmark = True, False
        busy.tell(what)
        self.table.add(what, clock.rate, memory.peak_gib)


def sections(benchmark: Benchmark) -> dict[str, Callable[[], None]]:
    """Return what can be measured, by name, in order."""
    several = {"ranks": benchmark.ranks} if benchmark.options.devices > 1 else {}
    first = {"bare": benchmark.bare, "ours": benchmark.ours, "spin": benchmark.spin}
    return first | several | {"more": benchmark.more}


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options; what is not said depends on the device."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--devices", type=int, default=1, help="GPUs of the rows of several")
    parser.add_argument("--size-px", type=int, help="224; on the CPU 96")
    parser.add_argument("--batch", type=int, help="256; on the CPU 32")
    parser.add_argument("--encoder", help="resnet50; on the CPU resnet18")
    parser.add_argument("--samples", type=int, help="images in the file: 4096; on the CPU 256")
    parser.add_argument("--steps", type=int, help="that are timed: 100; on the CPU 20")
    parser.add_argument("--window", type=int, help="steps: 25; on the CPU 5")
    parser.add_argument(
        "--workers", type=int, default=0, help="threads, or processes; 0: one per core"
    )
    parser.add_argument("--only", nargs="+", choices=["bare", "ours", "spin", "ranks", "more"])
    unprofiled = "do not ask the profiler how busy the GPU was"
    parser.add_argument("--no-profile", dest="profile", action="store_false", help=unprofiled)
    parser.add_argument("--quick", action="store_true", help="few small steps; writes nothing")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    options = parser.parse_args(arguments)
    on_gpu = options.device.startswith("cuda")
    usual = (224, 256, "resnet50", 4096, 100, 25) if on_gpu else (96, 32, "resnet18", 256, 20, 5)
    if options.quick:
        usual = (64, 8, "resnet18", 32, 4, 2)
    options.profile = options.profile and on_gpu
    names = ("size_px", "batch", "encoder", "samples", "steps", "window")
    for name, value in zip(names, usual, strict=True):
        setattr(options, name, getattr(options, name) or value)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison, print it, and write it where it is a full one; 1 where a section failed."""
    options = parsed(arguments)
    # a profiler that is taken down beside CUDA graphs may take the process with it
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    device = torch.device(options.device)
    kind = "gpu" if device.type == "cuda" else "cpu"
    table = Table(
        None if options.quick else options.out / f"train_{kind}.csv", machine_name(device)
    )
    print(f"{vars(options)}, torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        world = world_of(Path(folder), options)
        make_world(world, options.samples, options.device, min(50, options.samples // 2))
        jpeg_kib = world.pixels.stat().st_size / options.samples / 1024
        print(f"  {options.samples} images of {jpeg_kib:.0f} KiB of JPEG", flush=True)
        for name, section in sections(Benchmark(options, world, table)).items():
            if options.only and name not in options.only:
                continue
            try:
                section()
            except Exception:  # the other sections are worth their time
                traceback.print_exc()
                failed = 1
    print("\n".join(summary(table.rates)))
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
