"""The graph run side by side: DVC runs one stage at a time, but lets processes share a graph."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.index import Index

from pmnet.core.errors import InputError
from pmnet.core.progress import say

# DVC locks the project while it looks at the graph and while it notes what was made, for seconds
REPRO = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
FILE = "dvc.yaml"
# stages of one key that follow each other in one process; what all evaluations need runs apart
CHAINS = {"cluster": "run", "train": "run", "evaluate": "run", "ingest": "data", "images": "data"}
SHARED = "cluster@single"
TRIES = 2  # memory or disk may be short for a moment
POLL_S = 0.2


@dataclass
class Task:
    """Stages that one process runs, once the stages `after` have run."""

    name: str
    stages: list[str] = field(default_factory=list)
    after: set[str] = field(default_factory=set)
    tries: int = 0

    @property
    def short(self) -> bool:
        """Return whether DVC takes longer to start than its stages take."""
        return all(stage.partition("@")[0] not in CHAINS for stage in self.stages)


def repro_parallel(jobs: int) -> None:
    """Run the graph like `dvc repro`, with `jobs` processes side by side (0: one a core, or one a GPU).

    A run's memory, training and evaluation are one process, which sees one GPU; data sets, tables and
    figures run as soon as what they need is there. At last DVC runs what is left: all that failed.
    Raises InputError where a stage fails again.
    """
    tasks = tasks_to_do()
    if not tasks:
        say("nothing has changed")
        return
    from pmnet.core.device import visible_gpus  # torch takes seconds to import

    gpus = visible_gpus()
    jobs = jobs or len(gpus) or os.cpu_count() or 1
    if jobs > 1:
        _side_by_side(tasks, jobs, gpus)
    if subprocess.run(REPRO).returncode:
        raise InputError("dvc repro failed, see above; run it again when that is mended")


def tasks_to_do() -> list[Task]:
    """Return the tasks of the stages that are changed, and of all that follows from them, in order."""
    try:
        with Repo() as repo, repo.lock:
            index = Index.from_file(repo, FILE)
            changed = {stage.addressing for stage in index.stages if stage.status()}
            graph = index.graph if changed else {}
            needs = {stage.addressing: {n.addressing for n in graph[stage]} for stage in graph}
    except DvcException as error:
        raise InputError(f"dvc: {error}") from None
    todo = set[str]()
    for stage in _in_order(needs):
        if stage in changed or needs[stage] & todo:
            todo.add(stage)
    tasks: dict[str, Task] = {}
    for stage in needs:
        if stage in todo:
            task = tasks.setdefault(_task_of(stage), Task(_task_of(stage)))
            task.stages.append(stage)
            task.after |= needs[stage] & todo
    for task in tasks.values():
        task.after -= set(task.stages)
    return list(tasks.values())


def _in_order(needs: dict[str, set[str]]) -> Iterator[str]:
    """Yield stages, each after those that it needs."""
    left = dict(needs)
    while left:
        ready = [stage for stage, before in left.items() if not before & set(left)]
        yield from ready
        left = {stage: before for stage, before in left.items() if stage not in ready}


def _task_of(stage: str) -> str:
    name, _, key = stage.partition("@")
    return f"{CHAINS[name]} {key}" if name in CHAINS and stage != SHARED else stage


def _side_by_side(tasks: list[Task], jobs: int, gpus: Sequence[str]) -> None:
    """Run tasks, each when what it needs is done; what follows from a failed one is left out."""
    undone = {stage for task in tasks for stage in task.stages}
    running: dict[int, tuple[Task, subprocess.Popen[bytes]]] = {}
    while True:
        for slot in sorted(set(range(jobs)) - set(running)):
            ready = _take([task for task in tasks if not task.after & undone], jobs, tasks)
            if ready is not None:
                running[slot] = ready, _start(ready, gpus[slot % len(gpus)] if gpus else None)
        if not running:
            return
        for slot, (task, process) in list(running.items()):
            if process.poll() is not None:
                del running[slot]
                task.tries += 1
                if not process.returncode:
                    undone -= set(task.stages)
                elif task.tries < TRIES:
                    tasks.append(task)
                end = "failed, to be tried again" if process.returncode else "done"
                say(f"{task.name}: {end}, {len(tasks)} to start")
        time.sleep(POLL_S)


def _take(ready: list[Task], jobs: int, tasks: list[Task]) -> Task | None:
    """Take the next task that is ready out of `tasks`; of the short ones, a share at once."""
    taken = ready[:1]
    if taken and taken[0].short:
        short = [task for task in ready if task.short and not task.tries]
        taken = short[: -(-len(short) // jobs)] or taken
    for task in taken:
        tasks.remove(task)
    if len(taken) < 2:
        return next(iter(taken), None)
    stages = [stage for task in taken for stage in task.stages]
    return Task(", ".join(task.name for task in taken), stages)


def _start(task: Task, gpu: str | None) -> "subprocess.Popen[bytes]":
    """Let DVC run the stages of a task alone (-s): what they need is there."""
    visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return subprocess.Popen([*REPRO, "-s", *task.stages], env={**os.environ, **visible})
