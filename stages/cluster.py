"""cluster: a prototype memory and the assignment of every training sample."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pmnet.checkpoints import held, training_key
from pmnet.datasets.sets import samples_of
from pmnet.machine import device_of, set_threads
from pmnet.memory.building import build_memory
from pmnet.params import Cluster, Machine
from pmnet.stage import command


def cluster(
    sets: Path,
    body: Path,
    out: Path,
    cluster: Cluster,
    machine: Machine,
    space: Literal["vertex", "parameter"] = "vertex",
    weights: Literal["parts", "flat"] = "parts",
) -> None:
    """Cluster the training bodies into K prototypes (Algorithm 1, Table II)."""
    set_threads(machine)
    files = samples_of(sets)
    settings = {"out": str(out), "space": space, "weights": weights, **asdict(cluster)}
    known = [file for file in (body, *files) if file.exists()]  # the others are refused below
    with held(training_key(settings, known)) as checkpoint:
        device = device_of(machine)
        where = None if device.type == "cpu" else device
        cache_gib = machine.cache_gib
        memory = build_memory(files, body, cluster, space, weights, cache_gib, where, checkpoint)
    memory.save(out)


if __name__ == "__main__":
    command(cluster)
