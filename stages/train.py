"""train: PM-Net on one memory, for one seed."""

from dataclasses import replace
from pathlib import Path

from pmnet.core.device import Machine, set_threads
from pmnet.core.stage import command
from pmnet.data.sets import images_of, samples_of
from pmnet.training.options import Train
from pmnet.training.seeds import train_seeds


def train(
    sets: Path,
    memory: Path,
    body: Path,
    out: Path,
    seed: int,
    train: Train,
    machine: Machine,
) -> None:
    """Train the network for one seed; training resumes where an earlier run was killed."""
    set_threads(machine)
    options = replace(train, seeds=[seed])
    train_seeds(samples_of(sets), images_of(sets), memory, body, out, options, machine)


if __name__ == "__main__":
    command(train)
