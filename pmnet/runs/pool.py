"""Tasks of a graph on this machine, several at a time.

DVC itself runs one stage after the other, but lets several of its processes share a graph.
"""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from pmnet.core.progress import duration
from pmnet.runs.board import Board, seconds_between_lines
from pmnet.runs.graph import HERE, REPRO, TRIES, Task, environment, owners


def run_tasks(tasks: list[Task], jobs: int, gpus: Sequence[str], project: Path = HERE) -> None:
    """Run tasks of the graph in `project`, `jobs` at a time, each on one of the GPUs, where there are any.

    A task runs once the tasks that it needs are done. One that fails is tried again; what follows from a
    task that fails again is left out.
    """
    by_name = {task.name: task for task in tasks}
    order = TopologicalSorter(owners(tasks))
    order.prepare()
    slots = SimpleQueue[str | None]()
    for slot in range(jobs):
        slots.put(gpus[slot % len(gpus)] if gpus else None)
    ready: list[Task] = []
    running: dict[Future[int], list[Task]] = {}
    left = len(tasks)
    with Board() as board, ThreadPoolExecutor(jobs) as pool:
        while True:
            ready += [by_name[name] for name in order.get_ready()]
            while ready and len(running) < jobs:
                batch = _take(ready, jobs)
                running[pool.submit(_run, batch, slots, board, project)] = batch
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


def _run(batch: list[Task], slots: "SimpleQueue[str | None]", board: Board, project: Path) -> int:
    """Let DVC run the stages of some tasks on a free slot; return the exit code.

    What the stages say goes to the board; all that was printed follows where they fail.
    """
    gpu, started = slots.get(), time.monotonic()
    try:
        process = _start([stage for task in batch for stage in task.stages], gpu, project)
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


def _start(stages: list[str], gpu: str | None, project: Path = HERE) -> "subprocess.Popen[str]":
    """Let DVC run these stages alone (-s): their inputs are there."""
    return subprocess.Popen(
        [*REPRO, "-s", *stages],
        cwd=project,
        env={**environment(gpu), **seconds_between_lines()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
