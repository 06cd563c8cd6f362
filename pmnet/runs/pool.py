"""The graph, several stages at a time: DVC runs one after the other, but lets processes share a graph."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.index import Index

from pmnet.core.errors import InputError
from pmnet.core.progress import duration, say
from pmnet.core.stage import PARAMS
from pmnet.core.yaml_files import read_yaml
from pmnet.runs.board import Board, seconds_between_lines
from pmnet.runs.compare import headline
from pmnet.runs.inputs import refuse_missing_inputs
from pmnet.runs.stage_server import stage_server

# DVC locks the project while it reads the graph and while it records results, for seconds
REPRO = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
FILE = "dvc.yaml"
# stages of one key that follow each other in one process
CHAINS = {"cluster": "run", "train": "run", "evaluate": "run", "ingest": "data", "images": "data"}
ALONE = "cluster@single"  # all evaluations need it
KINDS = {"run": "runs", "data": "data sets"}
DONE = "didn't change, skipping"  # how DVC's lines about such stages end
LONGEST = 3  # tasks that the summary names
PAGE = Path("reports/index.html")
SWEEPS_CURE = "; sweeps.k has six values and sweeps.limb_weight five: repeat one for fewer"
TRIES = 2  # memory or disk may be short for a moment


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


def repro_parallel(jobs: int) -> None:
    """Run the graph like `dvc repro`, with `jobs` processes at a time (0: one per GPU, or per core).

    Memory, training and evaluation of a run are one process, which sees one GPU; the seeds of a run with
    several of them are one process each. Data sets, tables and figures run as soon as their inputs are
    there. At the end DVC runs what is left: all that failed. Raises InputError where a stage fails again.
    """
    if os.path.lexists(PARAMS):
        read_yaml(PARAMS)  # refuses what DVC would read for minutes
    tasks = tasks_to_do()
    if not tasks:
        say("nothing has changed")
        return
    from pmnet.core.device import visible_gpus  # torch takes seconds to import

    gpus = visible_gpus()
    jobs, started = jobs or len(gpus) or os.cpu_count() or 1, time.monotonic()
    if jobs > 1:
        run_tasks(tasks, jobs, gpus)
    if _finish():
        raise InputError("dvc repro failed, see above; correct the cause and run the command again")
    for line in _summary(tasks, time.monotonic() - started):
        say(line)


def _finish() -> int:
    """Let DVC run what is left, without a line per stage that is done; return its exit code."""
    pipe, env = subprocess.PIPE, _environment()
    process = subprocess.Popen(REPRO, stdout=pipe, env=env, text=True, errors="replace")
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() and not line.rstrip().endswith(DONE):
            print(line, end="", flush=True)
    return process.wait()


def _summary(tasks: list[Task], seconds: float) -> Iterator[str]:
    """Yield what ran, how long it took, and where to look."""
    stages = sum(len(task.stages) for task in tasks)
    kinds = Counter(task.name.split()[0] for task in tasks if not task.short)
    counts = [f"{count} {KINDS[kind]}" for kind, count in kinds.items() if kind in KINDS]
    yield f"{', '.join([f'{stages} stages', *counts])} done in {duration(seconds)}"
    slowest = sorted((task for task in tasks if task.seconds), key=lambda task: -task.seconds)
    if slowest:
        longest = (f"{task.name} {duration(task.seconds)}" for task in slowest[:LONGEST])
        yield f"longest: {', '.join(longest)}"
    if numbers := headline():
        yield ", ".join(f"{name} {number}" for name, number in numbers.items())
    page = [str(PAGE)] if PAGE.is_file() else []
    places = [*page, "reports/tables", "reports/figures", "`dvc plots show`", "`dvc metrics diff`"]
    yield f"look at {', '.join(places)}"


def tasks_to_do() -> list[Task]:
    """Return the tasks of the changed stages and of all stages that follow from them, in order."""
    try:
        with Repo() as repo, repo.lock:
            index = Index.from_file(repo, FILE)
            refuse_missing_inputs(index)
            changed = {stage.addressing for stage in index.stages if stage.status()}
            graph = index.graph if changed else {}
            needs = {stage.addressing: {n.addressing for n in graph[stage]} for stage in graph}
    except DvcException as error:
        cure = SWEEPS_CURE if "'sweeps." in str(error) else ""
        raise InputError(f"dvc: {error}{cure}") from None
    todo = set[str]()
    for stage in TopologicalSorter(needs).static_order():
        if stage in changed or needs[stage] & todo:
            todo.add(stage)
    return _grouped({stage: needs[stage] & todo for stage in needs if stage in todo})


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
    """Return the run or data set of a stage: of train@RUN-SEED the run."""
    name, _, key = stage.partition("@")
    return key.rpartition("-")[0] if name == "train" else key


def run_tasks(tasks: list[Task], jobs: int, gpus: Sequence[str]) -> None:
    """Run tasks, each once the tasks that it needs are done; what follows from a failed one is left out."""
    by_name = {task.name: task for task in tasks}
    owner = {stage: task.name for task in tasks for stage in task.stages}
    order = TopologicalSorter(
        {task.name: {owner[stage] for stage in task.after if stage in owner} for task in tasks}
    )
    order.prepare()
    slots = SimpleQueue[str | None]()
    for slot in range(jobs):
        slots.put(gpus[slot % len(gpus)] if gpus else None)
    ready: list[Task] = []
    running: dict[Future[int], list[Task]] = {}
    left = len(tasks)
    with Board() as board, stage_server(), ThreadPoolExecutor(jobs) as pool:
        while True:
            ready += [by_name[name] for name in order.get_ready()]
            while ready and len(running) < jobs:
                batch = _take(ready, jobs)
                running[pool.submit(_run, batch, slots, board)] = batch
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                batch, failed = running.pop(future), future.result() != 0
                for task in batch:
                    task.tries += 1
                    if not failed:
                        order.done(task.name)
                        left -= 1
                    elif task.tries < TRIES:
                        ready.append(task)
                end = "failed" if failed else "done"
                took = duration(batch[0].seconds)
                stages = ", ".join(stage for task in batch for stage in task.stages)
                board.say(f"{stages}: {end} in {took}, {left} of {len(tasks)} left")


def _take(ready: list[Task], jobs: int) -> list[Task]:
    """Take the next task out of `ready`; of the short ones, a share in one process."""
    batch = ready[:1]
    if batch[0].short:
        short = [task for task in ready if task.short and not task.tries]
        batch = short[: -(-len(short) // jobs)] or batch
    for task in batch:
        ready.remove(task)
    return batch


def _names(batch: list[Task]) -> str:
    return ", ".join(task.name for task in batch)


def _run(batch: list[Task], slots: "SimpleQueue[str | None]", board: Board) -> int:
    """Let DVC run the stages of some tasks on a free slot; return the exit code.

    What the stages say goes to the board; all that was printed follows where they fail.
    """
    gpu, started = slots.get(), time.monotonic()
    try:
        process = _start([stage for task in batch for stage in task.stages], gpu)
        printed = _printed(process, _names(batch), board)
        if code := process.wait():
            board.say("".join(printed).rstrip())
        return code
    finally:
        board.end(_names(batch))
        slots.put(gpu)
        for task in batch:
            task.seconds = time.monotonic() - started


def _printed(process: "subprocess.Popen[str]", job: str, board: Board) -> list[str]:
    """Show what a process writes to standard error, and return all that it prints."""
    printed: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    quiet = Thread(target=printed.extend, args=[process.stdout])  # DVC's own lines
    quiet.start()
    for line in process.stderr:
        printed.append(line)
        if line.strip():
            board.show(job, line.strip())
    quiet.join()
    return printed


def _start(stages: list[str], gpu: str | None) -> "subprocess.Popen[str]":
    """Let DVC run these stages alone (-s): their inputs are there."""
    return subprocess.Popen(
        [*REPRO, "-s", *stages],
        env={**_environment(gpu), **seconds_between_lines()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _environment(gpu: str | None = None) -> dict[str, str]:
    """Return the environment of stages: their `python` is this one, even where no environment is active."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**os.environ, "PATH": path, **visible}
