"""`pmnet repro`: the whole graph, by the pool of this machine or by SLURM, and DVC's last word."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pmnet.core.errors import InputError
from pmnet.core.progress import duration, say
from pmnet.core.stage import PARAMS
from pmnet.core.yaml_files import read_yaml
from pmnet.runs.graph import REPRO, Task, environment, tasks_to_do

KINDS: Final = {"run": "runs", "data": "data sets"}
DONE: Final = "didn't change, skipping"  # how DVC's lines about such stages end
LONGEST: Final = 3  # tasks that the summary names
PAGE: Final = Path("reports/index.html")


def repro_parallel(jobs: int, slurm: bool = False) -> None:
    """Run the graph like `dvc repro`, with `jobs` processes at a time (0: one per GPU, or per core).

    Memory, training and evaluation of a run are one process, which sees one GPU; the seeds of a run with
    several of them are one process each. Data sets, tables and figures run as soon as their inputs are
    there. With `slurm` each such process is a job (0: all at once), by `machine.slurm` of params.yaml. At
    the end DVC runs what is left: all that failed here. Raises InputError where a stage fails again.
    """
    if os.path.lexists(PARAMS):
        read_yaml(PARAMS)  # refuses what DVC would read for minutes
    started = time.monotonic()
    tasks = _by_slurm(jobs) if slurm else _by_pool(jobs)
    if not tasks:
        say("nothing has changed")
        return
    if _finish():
        raise InputError("dvc repro failed, see above; correct the cause and run the command again")
    for line in _summary(tasks, time.monotonic() - started):
        say(line)


def _by_pool(jobs: int) -> list[Task]:
    """Run the tasks on this machine, where several can run at once; return them."""
    if tasks := tasks_to_do():
        # torch takes seconds to import, and mostly nothing has changed
        from pmnet.core.device import visible_gpus
        from pmnet.runs.pool import run_tasks

        gpus = visible_gpus()
        jobs = jobs or len(gpus) or os.cpu_count() or 1
        if jobs > 1:
            run_tasks(tasks, jobs, gpus)
    return tasks


def _by_slurm(jobs: int) -> list[Task]:
    """Run the tasks as jobs of SLURM and return them; raises InputError where a job fails again."""
    from pmnet.runs.slurm import SlurmQueue

    tasks, left = SlurmQueue("repro").run(jobs)
    if left:
        raise InputError(
            f"not done: {', '.join(left)}; see above, correct the cause and run the command again"
        )
    return tasks


def _finish() -> int:
    """Let DVC run what is left, without a line per stage that is done; return its exit code."""
    pipe, env = subprocess.PIPE, environment()
    process = subprocess.Popen(REPRO, stdout=pipe, env=env, text=True, errors="replace")
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() and not line.rstrip().endswith(DONE):
            print(line, end="", flush=True)
    return process.wait()


def _summary(tasks: list[Task], seconds: float) -> Iterator[str]:
    """Yield what ran, how long it took, and where to look."""
    from pmnet.runs.compare import headline

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
