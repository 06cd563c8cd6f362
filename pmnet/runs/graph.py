"""The graph as tasks: stages that one process runs, in the order in which DVC needs them."""

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.index import Index
from dvc.utils.serialize import LOADERS

from pmnet.core.errors import InputError
from pmnet.runs.inputs import refuse_missing_inputs

# DVC locks the project while it reads the graph and while it records results, for seconds
REPRO: Final = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
HERE: Final = Path()
# stages of one key that follow each other in one process, and what such a process is called
CHAINS: Final = {
    **dict.fromkeys(("cluster", "train", "evaluate"), "run"),
    **dict.fromkeys(("ingest", "images"), "data"),
    **dict.fromkeys(("train_row", "evaluate_row"), "row"),  # of `pmnet sweep`
}
ALONE: Final = "cluster@single"  # all evaluations need it
TRIES: Final = 2  # memory or disk may be short for a moment
SWEEPS_CURE: Final = "; sweeps.k has six values and sweeps.limb_weight five: repeat one for fewer"


@dataclass
class Task:
    """Stages that one process runs, once the stages `after` have run."""

    name: str
    stages: list[str] = field(default_factory=list)
    after: set[str] = field(default_factory=set)
    tries: int = 0
    seconds: float = 0.0  # that its process took, when it did not fail

    @property
    def short(self) -> bool:
        """Return whether DVC takes longer to start than the stages take to run."""
        return all(stage.partition("@")[0] not in CHAINS for stage in self.stages)


def tasks_to_do(project: Path = HERE, busy: Collection[str] = ()) -> list[Task]:
    """Return the tasks of the changed stages and of all stages that follow from them, in order.

    `project` is the folder of the dvc.yaml. `busy` stages run now, on any machine: they count as changed,
    and DVC is not asked about them, since its locks know the processes of this machine only.
    """
    todo, changed, order = set[str](), set(busy), list[str]()
    try:
        with _yaml_read_once(), Repo(str(project), _wait_for_lock=True) as repo, repo.lock:
            index = Index.from_file(repo, str(project.resolve() / "dvc.yaml"))
            refuse_missing_inputs(index)
            by_name = {_name(stage): stage for stage in index.stages}
            graph = index.graph
            needs = {name: {_name(n) for n in graph[by_name[name]]} for name in by_name}
            order = list(TopologicalSorter(needs).static_order())
            for name in order:
                if name in changed or needs[name] & todo or by_name[name].status():
                    todo.add(name)
    except DvcException as error:
        cure = SWEEPS_CURE if "'sweeps." in str(error) else ""
        raise InputError(f"dvc: {error}{cure}") from None
    tasks = _grouped({name: needs[name] & todo for name in needs if name in todo})
    for task in tasks:
        task.stages.sort(key=order.index)
    return tasks


@contextmanager
def _yaml_read_once() -> Iterator[None]:
    """Let DVC read params.yaml once inside the block, not for each stage."""
    before = dict(LOADERS)
    LOADERS[".yaml"] = cache(LOADERS[".yaml"])
    try:
        yield
    finally:
        LOADERS.clear()
        LOADERS.update(before)


def owners(tasks: list[Task]) -> dict[str, set[str]]:
    """Return the names of the tasks that each task waits for, in an order that can be followed."""
    owner = {stage: task.name for task in tasks for stage in task.stages}
    needs = {task.name: {owner[stage] for stage in task.after if stage in owner} for task in tasks}
    return {name: needs[name] for name in TopologicalSorter(needs).static_order()}


def environment(gpu: str | None = None) -> dict[str, str]:
    """Return the environment of stages: their `python` is this one, even where no environment is active."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**os.environ, "PATH": path, **visible}


def _name(stage: object) -> str:
    """Return the name of a stage in its dvc.yaml, wherever this process is."""
    return str(stage.name)  # type: ignore[attr-defined]


def _grouped(needs: dict[str, set[str]]) -> list[Task]:
    """Return the tasks of stages, each given with the stages that it needs."""
    seeds = Counter(_key_of(stage) for stage in needs if stage.startswith("train@"))
    tasks: dict[str, Task] = {}
    for stage, before in needs.items():
        name, key = stage.partition("@")[0], _key_of(stage)
        apart = name not in CHAINS or stage == ALONE or (CHAINS[name] == "run" and seeds[key] > 1)
        label = stage if apart else f"{CHAINS[name]} {key}"
        task = tasks.setdefault(label, Task(label))
        task.stages.append(stage)
        task.after |= before
    for task in tasks.values():
        task.after -= set(task.stages)
    return list(tasks.values())


def _key_of(stage: str) -> str:
    """Return the run, data set or row of a stage: of train@RUN-SEED the run."""
    name, _, key = stage.partition("@")
    return key.rpartition("-")[0] if name == "train" else key
