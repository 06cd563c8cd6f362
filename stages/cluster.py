"""cluster: a prototype memory and the assignment of every training sample."""

from pathlib import Path
from typing import Literal

from pmnet.datasets.sets import samples_of
from pmnet.machine import set_threads
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
    build_memory(samples_of(sets), body, cluster, space, weights, machine.cache_gib).save(out)


if __name__ == "__main__":
    command(cluster)
