"""What tests/training/test_processes.py starts by torchrun: a training and its evaluation."""

import sys
from pathlib import Path

import torch
from tiny_world import MACHINE, World, evaluating

from pmnet.core import checkpoints
from pmnet.core.distributed import rank_and_world_size
from pmnet.evaluation import evaluator as evaluator_module
from pmnet.evaluation.evaluator import Evaluator, write_errors
from pmnet.training.options import Train

BLOCK = 5  # samples that a process evaluates at a time


def train(world: World, options: Train, out: Path) -> None:
    """Train a world with checkpoints of its own."""
    checkpoints.FOLDER = out / "work"
    world.train(out / "train", options)


def evaluate(world: World, options: Train, models: Path, out: Path) -> None:
    """Write the errors of the samples of a world."""
    evaluator_module.BLOCK = BLOCK
    files = world.memory, models, world.body
    settings = evaluating(world.single, also=["soft", "twice"])
    evaluator = Evaluator.load(*files, options.seeds, settings, MACHINE)
    errors = evaluator.errors(world.samples, world.images)
    if rank_and_world_size()[0] == 0:
        write_errors(errors, {}, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    given = torch.load(out / "given", weights_only=False)
    train(*given, out)
    evaluate(*given, out / "train", out / "errors.parquet")
