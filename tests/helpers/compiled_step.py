"""Prints the measures of three steps, plain and compiled; a process of its own has no checks of shapes.

What is compiled is traced whole (a break in it is an error), and never anew after the first step.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from tiny_world import MACHINE, OPTIONS, SPIN, World

from pmnet.body import OPEN_BODY, BodyModel
from pmnet.core.distributed import fabric_of
from pmnet.model.weights import load_memory
from pmnet.training.data import load_training_data
from pmnet.training.inputs import inputs_of
from pmnet.training.run import TrainingRun, build_network
from pmnet.training.step import Step


def measures(world: World, compiled: bool) -> list[float]:
    body = BodyModel.load(OPEN_BODY)
    options = replace(OPTIONS, augmentation=SPIN, compile=compiled)
    memory, fabric = load_memory(world.memory, body), fabric_of(MACHINE, options.precision)
    data = load_training_data([world.samples], [world.images], memory, body)
    torch.manual_seed(0)
    run = TrainingRun(data, memory, body, options, MACHINE, fabric, seed=0)
    step = Step(build_network(options, memory), run)
    for number in range(3):
        rows = torch.arange(8) + number
        inputs = inputs_of(number, rows, data.images.read(rows), options, 0, fabric)
        step(inputs, 1e-3)
    return step.take_means()


if __name__ == "__main__":
    torch.set_num_threads(1)
    world = World(*map(Path, sys.argv[1:]))
    print(measures(world, compiled=False))
    torch.compile = partial(torch.compile, backend="eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        print(measures(world, compiled=True))
