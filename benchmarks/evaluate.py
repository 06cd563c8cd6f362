"""The rate of the whole evaluation beside that of its encoder alone, in one run.

    python -m benchmarks.evaluate                    # on a CPU: reports/benchmarks/evaluate_cpu.csv
    python -m benchmarks.evaluate --device cuda      # on a GPU: evaluate_gpu.csv

`encoder` sees batches of images that are on the device already, in the precision of the evaluation, float32.
`evaluation_N` reads JPEG files, poses true bodies, finds their nearest prototypes, and measures the errors
of N inferences: the network, the softmax of all prototypes, the selected prototype, and the network from the
assigned prototype. Weights are random: rates do not depend on them, and no two inferences have equal bodies.
All take turns, and medians are compared.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.measuring import machine_name, seconds
from benchmarks.predict.__main__ import write_untrained
from benchmarks.rates import write_rates
from benchmarks.training.world import World, machine_of, make_world, world_of
from pmnet.body import OPEN_BODY
from pmnet.core.device import set_threads
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.prediction import Encoded, Inference, batch_of, encode
from pmnet.images.file import Pixels
from pmnet.model.selection import Selector

INFERENCES = (1, 2, 3, 4)
SOME_PROTOTYPES = 2  # of the memory that the data need, and nobody evaluates


class FirstInferences(Evaluator):
    """An evaluator of the first `count` inferences only."""

    count = 1

    def _inferences(
        self, selector: Selector, encoded: Encoded, assigned: Tensor | None
    ) -> Iterator[Inference]:
        yield from islice(super()._inferences(selector, encoded, assigned), self.count)


def evaluator_of(folder: Path, options: argparse.Namespace) -> FirstInferences:
    """Return the evaluator of an untrained network, as the evaluate stage loads it."""
    run = write_untrained(folder, options.encoder, options.size_px)
    mean = folder / "runs/single/memory.npz"
    settings = Evaluate("test", "hard", ["soft"], {"default": "skeleton"}, str(mean), "as_seen", {})
    machine = machine_of(options.device, options.workers, threads=options.threads)
    set_threads(machine)
    files = run / "memory.npz", run / "train", OPEN_BODY
    loaded = Evaluator.load(*files, [0], settings, machine)
    return FirstInferences(**vars(loaded))


def rates(options: argparse.Namespace, world: World) -> dict[str, float]:
    """Return images/s of the encoder and of the evaluation, the medians of rounds that take turns."""
    evaluator = evaluator_of(world.folder, options)
    device, network = evaluator.body.faces.device, evaluator.networks[0]
    rows = torch.arange(options.samples).split(batch_of(device))
    resident = [Pixels(world.pixels).read(part).to(device) for part in rows]

    def bare() -> None:
        for part in resident:
            encode(network, part)

    def whole(count: int) -> None:
        evaluator.__class__.count = count
        found = evaluator.errors(world.samples, world.pixels)
        assert len(found) == count * options.samples

    work: dict[str, Callable[[], None]] = {"encoder": bare}
    work |= {f"evaluation_{count}": lambda count=count: whole(count) for count in INFERENCES}
    measured: dict[str, list[float]] = {what: [] for what in work}
    for window in range(options.rounds + 1):
        for what, do in work.items():
            took, _ = seconds(do, device)
            print(f"  round {window}, {what}: {options.samples / took:.1f} images/s", flush=True)
            if window:  # the first one warms up
                measured[what].append(options.samples / took)
    return {what: median(found) for what, found in measured.items()}


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options; those that depend on the device have its defaults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--encoder", help="resnet50; on a CPU squeezenet1_1")
    parser.add_argument("--size-px", type=int, help="224; on a CPU 64")
    parser.add_argument("--samples", type=int, help="16384; on a CPU 1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that read images")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(words)
    cpu = options.device == "cpu"
    usual = ("squeezenet1_1", 64, 1024) if cpu else ("resnet50", 224, 16384)
    for name, value in zip(("encoder", "size_px", "samples"), usual, strict=True):
        setattr(options, name, getattr(options, name) or value)
    name = "evaluate_cpu.csv" if cpu else "evaluate_gpu.csv"
    options.out = options.out or Path("reports/benchmarks") / name
    return options


def main(words: list[str] | None = None) -> None:
    """Measure, print and write."""
    options = parsed(words)
    with tempfile.TemporaryDirectory() as folder:
        options.batch = 1
        world = world_of(Path(folder), options)
        make_world(world, options.samples, options.device, SOME_PROTOTYPES)
        found = rates(options, world)
    for what, rate in found.items():
        print(
            f"{what}: {rate:.1f} images/s, {rate / found['encoder']:.1%} of the encoder", flush=True
        )
    write_rates(options.out, found, machine_name(torch.device(options.device)))


if __name__ == "__main__":
    main()
