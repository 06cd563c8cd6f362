"""P3DH K-Means beside its peers: same bodies, same start, same number of iterations, one run.

`python -m benchmarks.clustering` writes reports/benchmarks/cluster_{cpu,gpu}.csv row by row; with `--quick`
it prints a small comparison in under 50 s. The peers need scikit-learn and faiss-cpu (the extra `bench`), and
flash-kmeans on a GPU; those that are not installed are left out.

What is compared: the peers cluster the weighted vertex vectors, and their centres are mean vectors;
ours are mean bodies (Algorithm 1), with an assignment that is exact on the same vectors. Vertex vectors
of all samples do not fit a small machine, so the peers run on a subset and their seconds and memory are
scaled by the number of samples (their work is linear in it); on a GPU they run on all. The literal
algorithm is scaled from a few pairs. Ours is measured on all samples. `embed_s` is the time to make what
is clustered: vertex vectors for the peers; basis, coordinates and bounds for ours. `iteration_s` is the
median of the iterations after the first (scikit-learn: their mean) in the fastest of five runs (K of 100 and
more: of two); of torch_gemm and flash_kmeans it is the assignment alone.
`wrong` counts labels that are not the nearest in float64 at the method's own centres, out of `checked`.
On a GPU `--job` more bodies, each a sample that is turned and changed a little, are clustered by ours
alone. The committed tables are of real poses (`--mocap FOLDER`). Kernels and libraries are made ready by a
small run before. Loads on the machine disturb: run it alone. On a shared machine `--faster` keeps those rows
of the table that are faster than this run's, ours and the peers' alike.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.clustering import peers
from benchmarks.clustering.ours import Ours, Result
from benchmarks.clustering.poses import Varied, bodies
from benchmarks.measuring import Memory, Row, machine_name, rows_of, runs_of, seconds, wrong
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.parts import vertex_weights
from pmnet.core.files import replacing

WEIGHTS = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
PEERS: dict[str, tuple[str, Callable[[Tensor, Tensor, int], peers.Found]]] = {
    "sklearn_lloyd": ("sklearn", peers.sklearn("lloyd")),
    "sklearn_elkan": ("sklearn", peers.sklearn("elkan")),
    "faiss": ("faiss", peers.faiss),
    "flash_kmeans": ("flash_kmeans", peers.flash_kmeans),
    "torch_gemm_tf32": ("torch", peers.torch_gemm("high")),
    "torch_gemm_fp32": ("torch", peers.torch_gemm("highest")),
}
ON_CPU = ("sklearn_lloyd", "sklearn_elkan", "faiss", "torch_gemm_fp32")
ON_GPU = ("flash_kmeans", "torch_gemm_tf32", "torch_gemm_fp32")
WHOLE_JOB = 20  # iterations
READY = 6000  # bodies of the run that makes kernels and libraries ready


class Benchmark:
    """All methods at one number of samples."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.machine = machine_name(self.device)
        self.params = bodies(options.mocap, options.samples)
        self.body = BodyModel.load(OPEN_BODY).to(self.device)
        self.weights = vertex_weights(self.body.parts, WEIGHTS)
        subset = options.samples if self.on_gpu else options.subset
        self.peer_rows = self.params[slice(0, subset)].to(self.device)
        self.scale = len(self.params) / len(self.peer_rows)
        self.ours = Ours(self.body, self.weights, self.device, options.cache_gib)
        self.found: list[Row] = []
        self.file = options.out / f"cluster_{'gpu' if self.on_gpu else 'cpu'}.csv"
        self.before = rows_of(self.file) if options.faster else []
        if self.on_gpu:
            few = self.params[slice(0, READY)]
            self.ours.clustered(self.ours.embed(few), min(options.k), 2, 100)

    def measure(self, ks: list[int]) -> None:
        """Measure ours."""
        embedded, options = self.ours.embed(self.params), self.options
        for k in ks:
            result = self.ours.clustered(embedded, k, 1 + options.iterations, options.checked)
            self._add_ours(len(self.params), k, result)

    def measure_peers(self, ks: list[int]) -> None:
        """Measure the peers: after ours, as each of them brings an OpenMP of its own."""
        vectors_s, vectors = seconds(self._vectors, self.device)
        pair_s = peers.literal_pair_s(self.body, self.peer_rows, 20)
        for k in ks:
            for name in ON_GPU if self.on_gpu else ON_CPU:
                self._peer(name, vectors, vectors_s, k)
            work = pair_s * len(self.params) * k
            self._add("literal", len(self.params), k, 0.0, work, 0.0, None, 0)

    def job(self, count: int, k: int) -> None:
        """Measure ours on more bodies than there are poses."""
        many = Varied(self.peer_rows, count)
        embedded = self.ours.embed(many)
        result = self.ours.clustered(embedded, k, WHOLE_JOB, self.options.job_checked)
        self._add_ours(count, k, result)

    def _add_ours(self, samples: int, k: int, result: Result) -> None:
        each, took = result.iteration_s, sum(result.iterations_s)
        print(
            f"# {samples} samples, K={k}: {result.whole_s:.2f} s = {result.embed_s:.2f} to embed and start"
            f" + {took:.2f} for {len(result.iterations_s)} iterations + {result.last_s:.2f} for the last"
            f" assignment; {result.wrong} of {result.checked} wrong"
        )
        gib, checked = result.peak_gib, result.checked
        self._add("pmnet", samples, k, result.embed_s, each, gib, result.wrong, checked)

    def _add(
        self,
        method: str,
        samples: int,
        k: int,
        embed_s: float,
        iteration_s: float,
        gib: float,
        bad: int | None,
        checked: int,
    ) -> None:
        numbers = round(embed_s, 3), float(f"{iteration_s:.4g}"), round(gib, 3)
        row = Row(method, samples, k, *numbers, bad, checked, self.machine)
        print("  ".join(f"{value}" for value in asdict(row).values()), flush=True)
        self.found.append(
            min([row, *filter(row.same, self.before)], key=lambda each: each.iteration_s)
        )
        if not self.options.quick:
            self._write()

    def _write(self) -> None:
        with replacing(self.file) as unfinished, unfinished.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Row)])
            writer.writeheader()
            missing = [row for row in self.before if not any(map(row.same, self.found))]
            writer.writerows(asdict(row) for row in self.found + missing)

    def _vectors(self) -> Tensor:
        vectors = torch.empty(len(self.peer_rows), 3 * len(self.weights), device=self.device)
        for row in range(0, len(self.peer_rows), 1024):
            part = slice(row, row + 1024)
            made = self.body.vertices_by_axis(self.peer_rows[part]) * self.weights
            vectors[part] = made.flatten(1)
        return vectors.sub_(vectors.mean(0))

    def _peer(self, name: str, vectors: Tensor, vectors_s: float, k: int) -> None:
        package, run = PEERS[name]
        if find_spec(package) is None:
            print(f"# {name} is left out: {package} is not installed", flush=True)
            return
        first = vectors[:k].clone()
        with Memory(self.device) as memory:
            runs = (run(vectors, first, self.options.iterations) for _ in range(runs_of(k)))
            each, labels, centres = min(runs, key=lambda found: found[0])
        checked = min(self.options.peer_checked, len(vectors))
        bad = sum(
            wrong(vectors[part], centres, labels[part].to(vectors.device))
            for part in (slice(r, min(r + 2048, checked)) for r in range(0, checked, 2048))
        )
        gib = memory.peak_gib + (0 if self.on_gpu else vectors.nbytes / 2**30)
        times = vectors_s * self.scale, each * self.scale, gib * self.scale
        self._add(name, len(self.params), k, *times, bad, checked)


def ratios(rows: list[Row], samples: int) -> list[str]:
    """Return how much faster ours is, an iteration and the whole job."""
    lines, rows = [], [row for row in rows if row.samples == samples]
    for k in sorted({row.k for row in rows}):
        ours = next(row for row in rows if (row.k, row.method) == (k, "pmnet"))
        whole = ours.embed_s + WHOLE_JOB * ours.iteration_s
        lines.append(
            f"K={k}: pmnet takes {ours.iteration_s * 1e3:.3g} ms an iteration of {samples} samples, "
            f"{whole:.3g} s for {WHOLE_JOB} with embedding; {ours.wrong} of {ours.checked} wrong"
        )
        for row in (row for row in rows if row.k == k and row.method not in ("pmnet", "literal")):
            lines.append(
                f"  {row.method}: {row.iteration_s / ours.iteration_s:.1f}x the time of an iteration; "
                f"its {WHOLE_JOB} iterations alone are {WHOLE_JOB * row.iteration_s / whole:.1f}x "
                "our whole job"
            )
    return lines


def main() -> None:
    """Run the comparison, print it, and write it where it is a full one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--quick", action="store_true", help="a small comparison; writes nothing")
    parser.add_argument("--mocap", type=Path, help="clips in AMASS's layout; else random poses")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--samples", type=int, default=300_000 if on_gpu else 174_000)
    parser.add_argument("--subset", type=int, default=4_000, help="bodies that peers get on a CPU")
    parser.add_argument("--k", type=int, nargs="+", default=[1000, 50])
    parser.add_argument("--iterations", type=int, default=WHOLE_JOB)
    parser.add_argument("--checked", type=int, default=300_000 if on_gpu else 2_000)
    parser.add_argument("--peer-checked", type=int, default=20_000 if on_gpu else 2_000)
    parser.add_argument("--cache-gib", type=float, default=40.0 if on_gpu else 4.0)
    parser.add_argument("--job", type=int, default=0, help="bodies of a large job (GPU); 0: none")
    parser.add_argument("--job-checked", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    parser.add_argument(
        "--faster", action="store_true", help="keep rows of the table that are faster"
    )
    options = parser.parse_args()
    if options.quick:
        options.samples, options.subset, options.k = 20_000, 1_000, [50]
        options.iterations, options.checked, options.peer_checked = 3, 500, 500
    torch.set_grad_enabled(False)
    print("  ".join(field.name for field in fields(Row)))
    benchmark = Benchmark(options)
    benchmark.measure(options.k)
    if options.job:
        benchmark.job(options.job, options.k[0])
    benchmark.measure_peers(options.k)
    if not benchmark.on_gpu:
        print(
            f"(peers: measured on {options.subset} samples, scaled; literal: on 20 pairs, scaled)"
        )
    print("\n".join(ratios(benchmark.found, options.samples)))


if __name__ == "__main__":
    main()
