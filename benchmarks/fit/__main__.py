"""Fits to markers and joints beside smplfitter and a plain L-BFGS: same people, same points, one run.

`python -m benchmarks.fit` writes reports/benchmarks/fit_{cpu,gpu}.csv row by row. The people are real poses
of subjects whose betas are N(0, 1) and unknown to the fits. Markers: 48, each 9.5 mm from the posed skin,
5 mm of noise per axis, 10 % missing. Joints: the 24 of the skeleton with the same noise.

`pmnet_frames` fits the betas of each frame alone, as the peers do; `pmnet_subject` those of a subject, with
stage I and the uncertainty of joints in the time. `start` is our start in closed form. smplfitter gets the
joints that markers show from our map, and knows no offset from the skin. frames_per_s is wall time with the
start; on a CPU, frames_per_cpu_s is by the time that the cores spent on it, which other work on the machine
disturbs less. Errors are mean distances of the vertices per frame: their mean, 95th percentile and worst, and
the share up to 10 mm; `joints_mm` and `joints_p95_mm` are the median and 95th percentile of the joints.

Real poses are those of --mocap FOLDER (`test` and `train` with SUBJECT/*.npz in AMASS's layout, other
people); without it, poses are drawn from hand-written families of actions (column `poses`). A GPU gets the
same frames over and over, --batch in all, to have enough to do; `frames` counts all of them. L-BFGS gets 64
frames on a CPU, and each frame once on a GPU.

`--priors` compares pose priors instead: see benchmarks/fit/priors.py.
"""

import argparse
import csv
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.fit.peers import Lbfgs, Smplfitter, has_smplfitter
from benchmarks.fit.priors import compare_priors
from benchmarks.fit.world import LABELS, world_of
from benchmarks.measuring import machine_name
from pmnet.core.device import in_threads
from pmnet.core.files import replacing
from pmnet.fitting.markers import read_table, vertices_of
from pmnet.fitting.observations import Positions
from pmnet.fitting.options import fit_options
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import FLOOR_RAD, learn_prior
from pmnet.fitting.solver import Placed, Solver
from pmnet.fitting.start import Starter
from pmnet.fitting.subject import SubjectFitter

CPU_CHUNK, GPU_CHUNK = 128, 8192
LBFGS_STEPS = 40
FEW = 64  # frames that L-BFGS gets on a CPU


@dataclass(frozen=True)
class Row:
    """A row of the table; `frames` are those that the method fitted."""

    method: str
    points: str
    frames: int
    mean_mm: float
    p95_mm: float
    worst_mm: float
    within_10mm: float
    joints_mm: float
    joints_p95_mm: float
    frames_per_s: float
    frames_per_cpu_s: float
    poses: str
    machine: str


class Benchmark:
    """All methods on the same people."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.out = options.out / f"fit_{'gpu' if self.on_gpu else 'cpu'}.csv"
        self.world = world_of(options.mocap, options.frames, options.learnt, self.device)
        self.prior = learn_prior(self.world.learnt.rotmats[:, 1:], FLOOR_RAD)
        self.options = fit_options({}, "benchmark")
        self.machine = machine_name(self.device)
        self.poses = "mocap" if options.mocap else "acted"
        self.batch = max(options.batch, options.frames) if self.on_gpu else options.frames
        self.rows: list[Row] = []

    def measure(
        self,
        name: str,
        seen: tuple[BodyPoints, Tensor, Tensor],
        lbfgs_steps: int = LBFGS_STEPS,
        peers: bool = True,
    ) -> None:
        """Measure the start, both of our fits and the peers on one kind of points."""
        points, once, once_weights = seen
        person = torch.arange(self.batch, device=self.device) % len(once)
        targets, weights = once[person], once_weights[person]
        starter = Starter(self.world.body, points, self.prior, self.world.learnt)
        solver = Solver(self.world.body, points, self.prior, self.options)

        def fitted(rows: slice) -> Placed:
            own, weight = targets[rows], weights[rows]
            seen = Positions(own, weight, (1000 / self.options.noise_mm) ** 2, 0.15)
            return solver.solve(starter(own, weight), seen).placed

        self._add("start", name, self._chunked(lambda rows: starter(targets[rows], weights[rows])))
        self._add("pmnet_frames", name, self._chunked(fitted))
        fitter = SubjectFitter(self.world.body, points, self.prior, self.world.learnt, self.options)
        self._add(
            "pmnet_subject",
            name,
            lambda is_trial: self._subjects(fitter, targets, weights, is_trial),
        )
        if name == "markers" and peers and has_smplfitter():
            chosen = vertices_of(self.world.body, [read_table()[label] for label in LABELS])
            peer = Smplfitter(self.world, points, chosen)
            self._add(
                "smplfitter",
                name,
                self._chunked(
                    lambda r: peer(starter(targets[r], weights[r]), targets[r], weights[r])
                ),
            )
        lbfgs = Lbfgs(self.world, points, self.prior, lbfgs_steps)
        few = slice(0, len(once) if self.on_gpu else FEW)
        few_seen = once[few], once_weights[few]
        self._add(f"lbfgs_{lbfgs_steps}", name, lambda _: lbfgs(starter(*few_seen), *few_seen))

    def _subjects(
        self, fitter: SubjectFitter, targets: Tensor, weights: Tensor, is_trial: bool
    ) -> Placed:
        person = torch.arange(len(targets), device=self.device) % len(self.world.truth)
        subjects = self.world.subjects[person]
        rows = [(subjects == number).nonzero()[:, 0] for number in subjects.unique().tolist()]
        rows = rows[:1] if is_trial else rows
        placed = Placed.cat([fitter(targets[own], weights[own]).placed for own in rows])
        return placed[torch.cat(rows).argsort()]

    def _chunked(self, work: Callable[[slice], Placed]) -> Callable[[bool], Placed]:
        size, count = GPU_CHUNK if self.on_gpu else CPU_CHUNK, self.batch
        parts = [slice(a, min(a + size, count)) for a in range(0, count, size)]

        def worked(is_trial: bool) -> Placed:
            if self.on_gpu:
                return Placed.cat([work(part) for part in parts[: 1 if is_trial else None]])
            return Placed.cat(list(in_threads(work, parts)))

        return worked

    def _add(self, method: str, points: str, work: Callable[[bool], Placed]) -> None:
        """Measure `work` and write its row; a GPU does a part of it first, so that its kernels are ready."""
        if self.on_gpu:
            work(True)
            torch.cuda.synchronize()
        spent, begun = _user_s(), time.perf_counter()
        placed = work(False)
        if self.on_gpu:
            torch.cuda.synchronize()
        took, used = time.perf_counter() - begun, _user_s() - spent
        count = len(placed)
        errors, of_joints = self.world.errors_mm(placed.params, placed.translation)
        row = Row(
            method=method,
            points=points,
            frames=count,
            mean_mm=round(errors.mean().item(), 2),
            p95_mm=round(errors.quantile(0.95).item(), 2),
            worst_mm=round(errors.max().item(), 1),
            within_10mm=round((errors <= 10).float().mean().item(), 3),
            joints_mm=round(of_joints.median().item(), 2),
            joints_p95_mm=round(of_joints.quantile(0.95).item(), 2),
            frames_per_s=round(count / took, 1),
            frames_per_cpu_s=round(count / used, 1),
            poses=self.poses,
            machine=self.machine,
        )
        print("  ".join(str(value) for value in asdict(row).values()), flush=True)
        self.rows.append(row)
        with replacing(self.out) as unfinished, unfinished.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)


def _user_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mocap", type=Path, help="test/SUBJECT/*.npz, train/SUBJECT/*.npz")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=65_536, help="frames of a GPU")
    parser.add_argument("--priors", action="store_true", help="compare pose priors instead")
    parser.add_argument("--learnt", type=int, default=4000)
    parser.add_argument("--points", nargs="+", default=["markers", "joints"])
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    return parser.parse_args(arguments)


def main() -> None:
    """Run the comparison, print it and write it."""
    torch.set_grad_enabled(False)
    options = parsed()
    if options.priors:
        compare_priors(options)
        return
    benchmark = Benchmark(options)
    for name in options.points:
        seen = benchmark.world.markers() if name == "markers" else benchmark.world.joints()
        benchmark.measure(name, seen)


if __name__ == "__main__":
    main()
