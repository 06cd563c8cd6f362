"""train: PM-Net on one memory, once a seed."""

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
    train: Train,
    machine: Machine,
) -> None:
    """Train the network once a seed, resuming where an earlier run was killed."""
    set_threads(machine)
    train_seeds(samples_of(sets), images_of(sets), memory, body, out, train, machine)


if __name__ == "__main__":
    command(train)
