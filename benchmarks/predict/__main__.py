"""The rate of `pmnet predict` without pictures beside that of its own encoder, in one run.

    python -m benchmarks.predict                     # on a CPU: reports/benchmarks/predict_cpu.csv
    python -m benchmarks.predict --device cuda       # on a GPU: predict_gpu.csv

`resnet50_224` is the paper's encoder on crops of 224 px, `squeezenet1_1_64` that of the open default.

The encoder sees crops that are in memory already; `predict` finds picture files, opens and crops them, poses
the bodies and writes predictions.npz. Both take turns, and medians are compared. Weights are random: rates do
not depend on them. On a CPU the network has one thread, readers and posing another core.

    python -m benchmarks.predict --silhouettes PROJECT --run RUN

compares the silhouettes of overlays with those of the true people, and with what `evaluate` predicts for the
same images of the open data.
"""

import argparse
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import machine_name, seconds
from benchmarks.predict.silhouettes import compare_silhouettes
from benchmarks.rates import write_rates
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.camera import View
from pmnet.clustering.poses import cluster_poses
from pmnet.core.device import Machine
from pmnet.core.torch_files import save_torch
from pmnet.datasets import synthetic
from pmnet.model.network import NetworkConfig, PMNet
from pmnet.predict.command import predict
from pmnet.predict.options import PredictOptions
from pmnet.predict.pipeline import PictureSource
from pmnet.predict.trained import TrainedRun, find_run

K = 24
DISTINCT = 2048  # pictures; a process that holds the crops of more starts others slowly


def write_untrained(project: Path, encoder: str, size_px: int) -> Path:
    """Write a run with random weights and a memory of drawn bodies; return its folder."""
    body = BodyModel.load(OPEN_BODY)
    view = View(10.0, 0.05, 8.0, 3.0, 0.88, 0.04, 0.04)
    drawn = synthetic.Options(200, dict.fromkeys(synthetic.FAMILIES, 1.0), 5.0, 0.5, view, 0)
    params = synthetic.read("drawn", Path(), drawn, body).body_params()
    folder = project / "runs/untrained"
    memory = cluster_poses(params, body, K, max_iterations=1)
    memory.save(folder / "memory.npz")
    cluster_poses(params, body, 1, max_iterations=1).save(project / "runs/single/memory.npz")
    config = NetworkConfig(encoder, 1, 256, 0, 0, "plain", 3, "assigned")
    network = PMNet(config, memory)
    content = {"state": network.state_dict(), "settings": asdict(config), "body": body.sha256}
    (folder / "train").mkdir()
    save_torch(content, folder / "train/seed_0.pt")
    (project / "params.yaml").write_text(f"images: {{size_px: {size_px}}}\n")
    return folder


def write_pictures(folder: Path, count: int, side: int) -> None:
    """Write JPEGs of clouds of colour, about as large as photographs of their size.

    Those after the first DISTINCT are links to them.
    """
    folder.mkdir()
    draws = np.random.default_rng(0)
    for number in range(count):
        if number >= DISTINCT:
            os.link(folder / f"{number % DISTINCT:06d}.jpg", folder / f"{number:06d}.jpg")
            continue
        coarse = draws.integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side, side)).save(folder / f"{number:06d}.jpg", quality=90)


@dataclass(frozen=True)
class Case:
    """An encoder, the side of its crops (px), and how many pictures are predicted."""

    encoder: str
    size_px: int
    images: int


CPU_CASES = (Case("squeezenet1_1", 64, 1024), Case("resnet50", 224, 64))
GPU_CASES = (Case("resnet50", 224, 32768), Case("squeezenet1_1", 64, 32768))


def rates(case: Case, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Return images/s of the encoder and of predict, the medians of windows that take turns."""
    assert case.images % min(case.images, DISTINCT) == 0, f"not a multiple of {DISTINCT}"
    machine = Machine(options.device, options.readers, options.threads, 0.0, 0.0, 1, 1)
    torch.set_num_threads(options.threads)
    weights = write_untrained(folder, case.encoder, case.size_px)
    run = TrainedRun(find_run(str(weights), 0), machine)
    write_pictures(folder / "in", case.images, case.size_px)
    finder = PictureSource(folder / "in", None, case.size_px)
    names = sorted(path.name for path in (folder / "in").iterdir())
    crops = finder.cut(names[:DISTINCT]).crops
    batches = [*crops.split(run.batch)] * (case.images // len(crops))
    chosen = PredictOptions(
        folder / "out", "whole", 1.2, 0.7, None, None, ["npz"], "skeleton", options.readers
    )

    def encode() -> None:
        for part in batches:
            run.encode(part)

    def everything() -> None:
        assert len(predict(folder / "in", run, chosen).predictions) == case.images

    ending = f"{case.encoder}_{case.size_px}"
    work = {f"bare_encoder_{ending}": encode, f"predict_{ending}": everything}
    measured: dict[str, list[float]] = {what: [] for what in work}
    for window in range(options.rounds + 1):
        for what, do in work.items():
            shutil.rmtree(folder / "out", ignore_errors=True)
            took, _ = seconds(do, run.device)
            if window:  # the first one warms up
                measured[what].append(case.images / took)
    return {what: median(found) for what, found in measured.items()}


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options; those that depend on the device have its defaults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, help="pictures per case, instead of its own number")
    parser.add_argument("--only", default="", help="one encoder, such as resnet50")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readers", type=int, help="1 thread on a CPU, 16 processes on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--silhouettes", type=Path, help="a project with the finished open default")
    parser.add_argument("--run", default="p3dh_k24_l5.0")
    options = parser.parse_args(words)
    cpu = options.device == "cpu"
    options.readers = options.readers or (1 if cpu else 16)
    name = "predict_cpu.csv" if cpu else "predict_gpu.csv"
    options.out = options.out or Path("reports/benchmarks") / name
    return options


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    if options.silhouettes:
        compare_silhouettes(options.silhouettes, options.run, options.images or 100)
        return
    found: dict[str, float] = {}
    cases = CPU_CASES if options.device == "cpu" else GPU_CASES
    for case in (case for case in cases if options.only in ("", case.encoder)):
        with tempfile.TemporaryDirectory() as folder:
            chosen = replace(case, images=options.images or case.images)
            bare, ours = (measured := rates(chosen, options, Path(folder))).values()
        share = f"{ours:.1f} images/s, {ours / bare:.1%} of its encoder"
        print(f"{case.encoder}, {case.size_px} px: predict {share}", flush=True)
        found |= measured
        write_rates(options.out, found, machine_name(torch.device(options.device)))


if __name__ == "__main__":
    main()
