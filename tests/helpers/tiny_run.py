"""A run that was never trained: a memory, random weights and settings, as the stages leave them."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from bodies import random_bodies
from PIL import Image
from tiny_network import config_of

from pmnet.body import BodyModel, BodyParams
from pmnet.core.device import Machine
from pmnet.core.torch_files import save_torch
from pmnet.images.plain import from_the_front
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet
from pmnet.predict.options import PredictOptions
from pmnet.predict.trained import TrainedRun, find_run

SIZE_PX = 48
CPU = Machine("cpu", 1, 1, 0.0, 0.0, 1, 1)


def write_run(project: Path, body: BodyModel, k: int = 3) -> Path:
    """Write project/runs/tiny with a memory, weights of seeds 0 and 7, and params.yaml; return the run."""
    folder = project / "runs/tiny"
    (folder / "train").mkdir(parents=True)
    for path, count in ((folder / "memory.npz", k), (project / "runs/single/memory.npz", 1)):
        memory_of(body, count).save(path)
    for seed in (7, 0):
        torch.manual_seed(seed)
        network = PMNet(config_of(), memory_of(body, k))
        content = {
            "state": network.state_dict(),
            "settings": asdict(config_of()),
            "body": body.sha256,
        }
        save_torch(content, folder / f"train/seed_{seed}.pt")
    (project / "params.yaml").write_text(
        f"images: {{size_px: {SIZE_PX}}}\n"
        "evaluate: {mean: runs/single/memory.npz, selection: hard}\n"
    )
    return folder


def memory_of(body: BodyModel, k: int) -> PrototypeMemory:
    bodies = random_bodies(k, spread=0.2)
    return PrototypeMemory(
        prototypes=from_the_front(BodyParams(bodies.rotmats, bodies.betas)),
        assignments=torch.arange(6) % k,
        distances=torch.zeros(6),
        vertex_weights=torch.ones(len(body.parts)),
        camera=torch.tensor([0.9, 0.05, -0.1]),
        body=body.sha256,
        settings={"space": "vertex", "weights": "flat", "k": k, "seed": 0},
    )


def trained_run(folder: Path) -> TrainedRun:
    return TrainedRun(find_run(str(folder), None), CPU)


def options_of(out: Path, **changed: object) -> PredictOptions:
    settings: dict = {
        "out": out, "boxes": "whole", "margin": 1.2, "min_score": 0.7, "focal_length": None,
        "fps": None, "save": ["npz"], "glb": "skeleton", "readers": 2,
    }  # fmt: skip
    return PredictOptions(**(settings | changed))


def write_pictures(folder: Path, count: int, size: tuple[int, int] = (60, 80)) -> None:
    """Write pictures of noise: 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(3)
    for number in range(count):
        noise = draws.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
