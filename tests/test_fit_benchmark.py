"""The benchmark of fitting: its methods run on the same people, and its table is kept."""

from pathlib import Path

import numpy as np
import torch
from fitted import poses

from benchmarks.fit.__main__ import Benchmark, parsed


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
