"""train: the PM-Net of one memory and one seed."""

from pathlib import Path

from pmnet.core.device import Machine, set_threads
from pmnet.core.ranges import Seed
from pmnet.core.stage import OutFolder, command
from pmnet.data.sets import images_of, samples_of
from pmnet.training.options import Train
from pmnet.training.seed import train_seed


def train(
    sets: Path,
    memory: Path,
    body: Path,
    out: OutFolder,
    seed: Seed,
    train: Train,
    machine: Machine,
) -> None:
    """Train the network of one seed into the folder `out`, resuming where an earlier run was killed."""
    set_threads(machine)
    train_seed(samples_of(sets), images_of(sets), memory, body, out, seed, train, machine)


if __name__ == "__main__":
    command(train)
