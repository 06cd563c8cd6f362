"""cluster: a prototype memory and the assignment of every training sample."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.clustering.options import Cluster
from pmnet.core.checkpoints import held, training_key
from pmnet.core.device import Machine, device_of, set_threads
from pmnet.core.distributed import processes
from pmnet.core.stage import OutFile, command
from pmnet.data.sets import samples_of
from pmnet.memory.prototypes import SpaceName


def cluster(
    sets: Path,
    body: Path,
    out: OutFile,
    cluster: Cluster,
    machine: Machine,
    space: SpaceName = "vertex",
    weights: Literal["parts", "flat"] = "parts",
) -> None:
    """Cluster the training bodies into K prototypes (Algorithm 1, Table II).

    Processes that a launcher has started share the samples; the first process writes the memory.
    """
    set_threads(machine)
    files = samples_of(sets)
    asked = device_of(machine)
    request = MemoryRequest(files, body, cluster, space, weights, machine.cache_gib, asked)
    settings = {"out": str(out), "space": space, "weights": weights, **asdict(cluster)}
    known = [file for file in (body, *files) if file.exists()]  # build_memory refuses the others
    with processes(asked) as (device, group):
        first = group is None or group.rank() == 0
        run = held(training_key(settings, known)) if first else nullcontext()
        with run as checkpoint:
            memory = build_memory(replace(request, device=device), checkpoint, group)
        if first:
            memory.save(out)


if __name__ == "__main__":
    command(cluster)
