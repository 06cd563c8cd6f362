"""The benchmark of fitting: its methods run on the same people, and its table is kept."""

from pathlib import Path

import numpy as np
import torch
from fitted import poses

from benchmarks.fit.__main__ import Benchmark, parsed
from benchmarks.fit.priors import fitted, gain_in, in_tail, prior_of
from benchmarks.fit.world import world_of


def write_clips(folder: Path, count: int, seed: int) -> None:
    rotvecs = np.zeros((count, 156), np.float32)
    rotvecs[:, :66] = poses(count, seed=seed).rotvecs()[:, :22].reshape(count, 66).numpy()
    folder.mkdir(parents=True)
    np.savez(folder / "a_poses.npz", poses=rotvecs)


def test_methods_write_their_rows(tmp_path):
    write_clips(tmp_path / "test" / "S1", 12, 1)
    write_clips(tmp_path / "test" / "S2", 12, 2)
    write_clips(tmp_path / "train" / "S3", 150, 9)
    options = ["--mocap", str(tmp_path), "--device", "cpu", "--frames", "16", "--learnt", "150"]
    with torch.no_grad():
        benchmark = Benchmark(parsed([*options, "--out", str(tmp_path)]))
        benchmark.measure("markers", benchmark.world.markers(), lbfgs_steps=2, peers=False)
        truth = benchmark.world.truth
        for errors in benchmark.world.errors_mm(truth, torch.zeros(16, 3)):
            assert errors.max() < 1e-3
    header, *rows = (line.split(",") for line in (tmp_path / "fit_cpu.csv").read_text().split("\n"))
    assert header[:6] == ["method", "points", "frames", "mean_mm", "p95_mm", "worst_mm"]
    mean = {row[0]: float(row[3]) for row in rows if len(row) > 1}
    assert list(mean) == ["start", "pmnet_frames", "pmnet_subject", "lbfgs_2"]
    assert max(mean["pmnet_frames"], mean["pmnet_subject"]) < 12 < mean["start"]


def test_gains_in_the_tail_have_intervals_over_subjects_and_clips(tmp_path):
    for subject in ("S1", "S2", "S3"):
        write_clips(tmp_path / "test" / subject, 12, len(subject) + int(subject[1]))
    write_clips(tmp_path / "train" / "S9", 150, 9)
    with torch.no_grad():
        world = world_of(tmp_path, 36, 150, torch.device("cpu"))
        tail = in_tail(world)
        assert tail.sum() == 2  # 5 % of 36
        everywhere = torch.ones(36, dtype=torch.bool)
        less = world.subjects.float()  # all frames of a subject gain as much
        gain, low, high = gain_in(everywhere, less, world)
        assert gain == 1.0 and low == 0.0 and high == 2.0
        assert gain_in(everywhere, torch.full((36,), 3.0), world) == (3.0, 3.0, 3.0)
        prior = prior_of(world, 4)
        assert prior.means.shape == (4, 23, 3, 3)
        fit = fitted(world, prior, 0.4)
        assert fit[0].mean() < 40 and fit[1].mean() < 9
