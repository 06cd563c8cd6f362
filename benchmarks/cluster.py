"""P3DH K-Means beside its peers: same bodies, same start, same number of iterations, one run.

`python -m benchmarks.cluster` writes reports/benchmarks/cluster_{cpu,gpu}.csv; with `--quick` it prints a
small comparison in under 50 s. The peers need scikit-learn and faiss-cpu (the extra `bench`).

What is compared: the peers cluster the weighted vertex vectors, and their centres are mean vectors;
ours are mean bodies (Algorithm 1), with an assignment that is exact on the same vectors. Vertex vectors
of all samples do not fit a small machine, so the peers run on a subset and their seconds and memory are
scaled by the number of samples (their work is linear in it). The literal algorithm is scaled from a few
pairs. Ours is measured on all samples. `embed_s` is the time to make what is clustered: vertex vectors
for the peers; basis, coordinates and bounds for ours. `iteration_s` is the median of the iterations after
the first. `wrong` counts labels that are not the nearest in
float64 at the method's own centres, out of `checked`. Loads on the machine disturb: run it alone.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.measuring import Memory, Row, machine_name, seconds, wrong
from benchmarks.poses import bodies
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.parts import vertex_weights
from pmnet.files import replacing
from pmnet.memory.assignment import assign
from pmnet.memory.kmeans import iterate
from pmnet.memory.points import Points
from pmnet.memory.sharding import Shard
from pmnet.memory.space import VertexSpace
from pmnet.memory.starts import start
from pmnet.memory.sums import Sums

WEIGHTS = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
PEERS: dict[str, Callable[[Tensor, Tensor, int], peers.Found]] = {
    "sklearn_lloyd": peers.sklearn("lloyd"),
    "sklearn_elkan": peers.sklearn("elkan"),
    "faiss": peers.faiss,
    "torch_gemm_fp32": peers.torch_gemm("highest"),
    "torch_gemm_tf32": peers.torch_gemm("high"),
    "flash_kmeans": peers.flash_kmeans,
}
ON_CPU = ("sklearn_lloyd", "sklearn_elkan", "faiss", "torch_gemm_fp32")
ON_GPU = ("torch_gemm_fp32", "torch_gemm_tf32", "flash_kmeans")
WHOLE_JOB = 20  # iterations


class Benchmark:
    """All methods at one number of samples."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.machine = machine_name(self.device)
        self.params = bodies(options.mocap, options.samples)
        self.body = BodyModel.load(OPEN_BODY).to(self.device)
        self.weights = vertex_weights(self.body.parts, WEIGHTS)
        self.peer_rows = self.params[slice(0, options.subset)].to(self.device)
        self.scale = len(self.params) / len(self.peer_rows)

    def rows(self, k: int) -> list[Row]:
        """Return the rows of all methods for one K."""
        # ours before the peers: each of them brings an OpenMP of its own
        ours = self._ours(*self._embedded(), k)
        names = ON_GPU if self.device.type == "cuda" else ON_CPU
        vectors_s, vectors = seconds(self._vectors, self.device)
        found = [self._peer(name, vectors, vectors_s, k) for name in names]
        pair_s = peers.literal_pair_s(self.body, self.peer_rows, 20)
        literal_s = pair_s * len(self.params) * k
        found.append(self._row("literal", k, 0.0, literal_s, 0.0, None, 0))
        return [*found, ours]

    def _row(
        self,
        method: str,
        k: int,
        embed_s: float,
        iteration_s: float,
        gib: float,
        bad: int | None,
        checked: int,
    ) -> Row:
        numbers = round(embed_s, 3), float(f"{iteration_s:.4g}"), round(gib, 3)
        row = Row(method, len(self.params), k, *numbers, bad, checked, self.machine)
        print("  ".join(f"{value}" for value in asdict(row).values()), flush=True)
        return row

    def _vectors(self) -> Tensor:
        parts = []
        for row in range(0, len(self.peer_rows), 1024):
            made = self.body.vertices_by_axis(self.peer_rows[slice(row, row + 1024)])
            parts.append((made * self.weights).flatten(1))
        vectors = torch.cat(parts)
        return vectors.sub_(vectors.mean(0))

    def _peer(self, name: str, vectors: Tensor, vectors_s: float, k: int) -> Row:
        first = vectors[:k].clone()
        with Memory(self.device) as memory:
            each, labels, centres = PEERS[name](vectors, first, self.options.iterations)
        some = slice(0, self.options.checked)
        bad = wrong(vectors[some], centres, labels[some].to(vectors.device))
        gib = memory.peak_gib + (vectors.nbytes / 2**30 if self.device.type == "cpu" else 0)
        times = vectors_s * self.scale, each * self.scale, gib * self.scale
        return self._row(name, k, *times, bad, len(vectors[some]))

    def _embedded(self) -> tuple[Points, float, float]:
        def embed() -> Points:
            sample = self.params[slice(0, 256)].to(self.device)
            space = VertexSpace(self.body, self.weights, sample)
            where = self.device if self.device.type == "cuda" else None
            return Points(space, self.params, self.options.cache_gib, where)

        with Memory(self.device) as memory:
            embed_s, points = seconds(embed, self.device)
        return points, embed_s, memory.peak_gib

    def _ours(self, points: Points, embed_s: float, gib: float, k: int) -> Row:
        shard, took = Shard.whole(len(self.params)), []
        centres, sums = start(points, k, 0, "random", shard), Sums(points, k)
        with Memory(self.device) as memory:
            for _ in range(1 + self.options.iterations):
                step = partial(iterate, points, centres, sums, shard)
                each_s, (_, centres) = seconds(step, self.device)
                took.append(each_s)
        each = median(took[1:])
        generator = torch.Generator().manual_seed(1)
        rows = torch.randperm(len(self.params), generator=generator)[: self.options.checked]
        labels = assign(points, centres)[0].cpu()[rows]
        exact = torch.cat([points.space.exact(points.bodies(part)) for part in rows.split(256)])
        ends = points.space.exact(centres)
        bad = wrong(exact, ends, labels.to(exact.device))
        peak = max(gib, gib + memory.peak_gib) if self.device.type == "cpu" else memory.peak_gib
        return self._row("pmnet", k, embed_s, each, peak, bad, len(rows))


def ratios(rows: list[Row]) -> list[str]:
    """Return how much faster ours is, an iteration and the whole job."""
    lines = []
    for k in sorted({row.k for row in rows}):
        ours = next(row for row in rows if (row.k, row.method) == (k, "pmnet"))
        whole = ours.embed_s + WHOLE_JOB * ours.iteration_s
        lines.append(
            f"K={k}: pmnet takes {ours.iteration_s * 1e3:.0f} ms an iteration of {ours.samples} samples, "
            f"{whole:.1f} s for {WHOLE_JOB} with embedding; {ours.wrong} of {ours.checked} wrong"
        )
        for row in (row for row in rows if row.k == k and row.method not in ("pmnet", "literal")):
            lines.append(
                f"  {row.method}: {row.iteration_s / ours.iteration_s:.0f}x the time of an iteration; "
                f"its {WHOLE_JOB} iterations alone are {WHOLE_JOB * row.iteration_s / whole:.1f}x "
                "our whole job"
            )
    return lines


def main() -> None:
    """Run the comparison, print it, and write it where it is a full one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small comparison; writes nothing")
    parser.add_argument("--mocap", type=Path, default=Path("../shared/mocap"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--samples", type=int, default=174_000)
    parser.add_argument("--subset", type=int, default=4_000, help="bodies that the peers get")
    parser.add_argument("--k", type=int, nargs="+", default=[50, 1000])
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--checked", type=int, default=2_000)
    parser.add_argument("--cache-gib", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    options = parser.parse_args()
    if options.quick:
        options.samples, options.subset, options.k = 20_000, 1_000, [50]
        options.iterations, options.checked = 3, 500
    torch.set_grad_enabled(False)
    print("  ".join(field.name for field in fields(Row)))
    benchmark = Benchmark(options)
    found = [row for k in options.k for row in benchmark.rows(k)]
    print(f"(peers: measured on {options.subset} samples, scaled; literal: on 20 pairs, scaled)")
    if not options.quick:
        kind = "gpu" if benchmark.device.type == "cuda" else "cpu"
        file = options.out / f"cluster_{kind}.csv"
        with replacing(file) as unfinished, unfinished.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in found)
    print("\n".join(ratios(found)))


if __name__ == "__main__":
    main()
