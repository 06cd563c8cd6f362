"""Where the time of embedding bodies on a CPU goes: `python -m benchmarks.clustering.embedding`.

It prints the operations and the CPU time per body of both parts, on one thread, beside the rates of the
machine: a matrix product, and numbers read and written in a cache. The least of many short runs counts, so
that other work on the machine disturbs little.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.clustering.__main__ import WEIGHTS
from benchmarks.clustering.poses import bodies
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.lengths import SquaredLengths
from pmnet.body.parts import vertex_weights
from pmnet.body.skinning import CPU_BODIES
from pmnet.clustering.exact.embedding import VertexEmbedding
from pmnet.memory.spaces import VertexSpace

COUNT: Final = 2 * CPU_BODIES
# numbers per point that are written by the matrix products (15), then read or written: nine products that are
# added (36), minus the origin, squared (12), summed (3)
MOVED: Final = 66


def cpu_s(work: Callable[[], Any], runs: int) -> float:
    """Return the least CPU time of some work (s)."""
    took = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def product_rate(runs: int) -> float:
    """Return the FLOP per second of a large float32 matrix product."""
    one, other = torch.randn(2, 1024, 1024).unbind()
    return 2 * 1024**3 / cpu_s(lambda: one @ other, runs)


def number_rate(runs: int) -> float:
    """Return the float32 numbers per second that `addcmul_` reads and writes in a cache."""
    made, column, coordinate = torch.randn(3, CPU_BODIES, 128).unbind()
    each = cpu_s(lambda: [made.addcmul_(column, coordinate) for _ in range(100)], runs) / 100
    return 4 * made.numel() / each


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mocap", type=Path, help="clips in AMASS's layout; else random poses")
    parser.add_argument("--runs", type=int, default=40)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    body = BodyModel.load(OPEN_BODY)
    params = bodies(options.mocap, COUNT)
    space = VertexSpace(body, vertex_weights(body.parts, WEIGHTS))
    embedding = VertexEmbedding(space, params)
    projection = embedding.projection
    lengths = SquaredLengths(space.blocks, projection.origin)
    products, numbers = product_rate(options.runs), number_rate(options.runs)
    print(f"matrix product {products / 1e9:.0f} GFLOP/s, addcmul_ {numbers / 1e9:.1f}e9 numbers/s")
    rank = projection.shifts.shape[1]
    maps = sum(2 * part.directions.numel() for part in projection.maps) + 2 * 3 * (72 + 24) * rank
    shapes = sum(2 * block.directions.numel() for block in lengths.blocks)
    turns = sum(2 * 12 * block.skinning.numel() for block in lengths.blocks)
    points = sum(block.skinning.shape[1] for block in lengths.blocks)
    print(f"lengths: {len(lengths.blocks)} blocks, {points} points of {len(body.parts)} vertices")
    parts = {
        "coordinates": (lambda: projection.coordinates(params), maps, 0),
        "lengths": (lambda: lengths(params), shapes + turns, MOVED * points),
    }
    for name, (work, flop, moved) in parts.items():
        took = cpu_s(work, options.runs) / COUNT * 1e6
        floor = (flop / products + moved / numbers) * 1e6
        print(
            f"{name}: {flop / 1e6:.2f} MFLOP and {moved / 1e3:.0f} thousand numbers a body: "
            f"floor {floor:.0f} us, took {took:.0f} us of CPU"
        )


if __name__ == "__main__":
    main()
