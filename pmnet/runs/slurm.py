"""Tasks of a graph as jobs of SLURM, one job per task, through submitit.

All jobs are submitted at once, and SLURM starts each after those that it depends on. A job is found again by
its name and its folder, so this process may be killed: the jobs go on, and the same command waits for them.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from annotated_types import Interval

from pmnet.core import params
from pmnet.core.checkpoints import FOLDER, held
from pmnet.core.errors import InputError
from pmnet.core.progress import EVERY_S, duration, say
from pmnet.core.ranges import Count, Weight
from pmnet.core.stage import PARAMS
from pmnet.runs.board import REFRESH_S, Board
from pmnet.runs.graph import HERE, REPRO, TRIES, Task, environment, owners, tasks_to_do

if TYPE_CHECKING:
    import submitit

POLL_S: Final = 1.0  # between two looks at the logs and the results of jobs
ASK_S: Final = (3.0, 30.0)  # between two questions to SLURM, in the beginning and later
ASK_SHARE: Final = 0.05  # of the time that has passed
ABSENT: Final = 2  # a job without success has failed when SLURM leaves it out of this many answers
NOTICE_S: Final = 90  # before its minutes are over a job goes back to the queue
TAIL: Final = 40  # lines of the log of a failed job that are shown
ROUNDS: Final = 2  # a job that was found again may have been submitted with fewer stages
REPORTS: Final = "reports"  # the job of all stages that no long one follows
ON_GPUS: Final = ("cluster", "train", "evaluate", "train_row", "evaluate_row")
OF_SLURM: Final = (
    "submitit ",
    "srun: ",
    "slurmstepd",
)  # how lines begin that are not of the stages
LIST: Final = ("squeue", "--me", "--noheader", "--format=%i|%T|%r|%j|%Z")
SETTINGS: Final = "machine.slurm"


@dataclass(frozen=True)
class SlurmOptions:
    """What each job asks SLURM for (`machine.slurm`); "" and 0 leave it to the cluster.

    `gpus` are those of a job that clusters, trains or evaluates; several share each training. `requeue` is
    how many times a job that ran out of `minutes` goes on in the queue; with 0, none that was preempted
    does either. `setup` are lines of the shell before the job; `options` are further ones of sbatch.
    """

    partition: str
    gpus: Annotated[int, Interval(ge=0, le=64)]
    cpus: Annotated[int, Interval(ge=0, le=4096)]
    memory_gib: Weight
    minutes: Count
    requeue: Annotated[int, Interval(ge=0, le=1000)]
    setup: list[str]
    options: dict[str, Any]

    def sbatch(self, task: Task, after: list[str]) -> dict[str, Any]:
        """Return the options of sbatch of a task that starts after the jobs `after` have succeeded."""
        asked = {
            "partition": self.partition,
            "gpus-per-node": self.gpus if is_on_gpus(task) else 0,
            "mem": f"{self.memory_gib * 1024:.0f}M" if self.memory_gib else "",
            "dependency": f"afterok:{':'.join(after)}" if after else "",
            "kill-on-invalid-dep": "yes",
            "requeue" if self.requeue else "no-requeue": True,
        }
        return {name: value for name, value in asked.items() if value} | self.options


@dataclass(frozen=True)
class StageJob:
    """What a job does: DVC runs these stages of a project, alone (-s), since their inputs are there."""

    project: str
    stages: list[str]
    processes: int  # that share a training

    def __call__(self) -> None:
        """Run the stages; where DVC fails, this process ends with its exit code and leaves no result.

        SLURM sends SIGTERM to all processes some time before it kills them: they work on until then.
        """
        given = {EVERY_S: REFRESH_S, **environment()}
        if self.processes > 1 and not given.get("PMNET_LAUNCH"):
            launch = f"torchrun --standalone --nproc-per-node {self.processes} --no-python"
            given["PMNET_LAUNCH"] = launch
        process = subprocess.Popen(
            [*REPRO, "-s", *self.stages],
            cwd=self.project,
            env=given,
            start_new_session=True,  # further signals are for this process, which requeues the job
            preexec_fn=_ignore_sigterm,
        )
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        if code:
            sys.exit(code)

    def checkpoint(self) -> Any:
        """Return the work of the job after it ran out of time: the same, since trainings go on."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass
class _Job:
    """A job in the queue."""

    id: str
    task: Task
    after: list[str] = field(default_factory=list)
    started: float | None = None
    absent: int = 0  # answers of SLURM without it
    read: int = 0  # bytes of its log


def _ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def is_on_gpus(task: Task) -> bool:
    """Return whether a task computes on GPUs."""
    return any(stage.partition("@")[0] in ON_GPUS for stage in task.stages)


def with_one_for_reports(tasks: list[Task]) -> list[Task]:
    """Return tasks with all short ones that no long one waits for as one: a job takes longer to start."""
    needs, needed = owners(tasks), set[str]()
    long = {task.name for task in tasks if not task.short}
    for name in reversed(needs):
        if name in long | needed:
            needed |= needs[name]
    leaves = [task for task in tasks if task.name not in long | needed]
    if len(leaves) < 2:
        return tasks
    stages = [stage for task in leaves for stage in task.stages]
    after = {stage for task in leaves for stage in task.after} - set(stages)
    return [task for task in tasks if task not in leaves] + [Task(REPORTS, stages, after)]


class SlurmQueue:
    """The jobs of one project in the queue of a cluster."""

    def __init__(self, name: str, project: Path = HERE) -> None:
        """Prepare to submit; `name` is that of the folder of logs, beside the checkpoints.

        Raises InputError where the machine or params.yaml is not set up for SLURM.
        """
        try:
            import submitit
        except ModuleNotFoundError:
            raise InputError(
                "--slurm needs submitit; install it by: pip install 'pmnet[slurm]'"
            ) from None
        for program in ("sbatch", "srun", "squeue"):
            if shutil.which(program) is None:
                raise InputError(
                    f"--slurm: {program} is not on the PATH; run it where sbatch works"
                )
        self._options: SlurmOptions = params.load(PARAMS, SETTINGS, SlurmOptions, {})
        self._name, self._project = f"slurm_{name}", project
        self._folder = (FOLDER.parent / "slurm" / name).resolve()
        self._submitit = submitit
        self._live: dict[str, _Job] = {}
        self._failed = set[str]()  # ids
        self._board = Board()

    def run(self, limit: int) -> tuple[list[Task], list[str]]:
        """Run all that is to do in the project, at most `limit` jobs at once (0: all).

        Returns the tasks, and the names of those that are not done since a job failed again. Raises
        InputError where another process does this.
        """
        every: dict[str, Task] = {}
        left: list[str] = []
        with held(self._name):
            found = self._jobs_there()
            for _ in range(ROUNDS):
                busy = {stage for job in found.values() for stage in job.stages}
                tasks = with_one_for_reports(tasks_to_do(self._project, busy))
                if not tasks:
                    break
                every |= {task.name: task for task in tasks}
                self._adopt(tasks, found)
                self._board = Board()
                with self._board:
                    left = self._run(tasks, limit)
                if left:
                    self._board.say(f"the logs of the jobs are in {self._folder}")
                    break
                found = {}
        return list(every.values()), left

    def _jobs_there(self) -> dict[str, StageJob]:
        """Return what the jobs of an earlier call do that are in the queue now; delete what others left."""
        listed = _listed()
        ours = {job_id for job_id, row in listed.items() if row[3] == str(Path.cwd())}
        self._folder.mkdir(parents=True, exist_ok=True)
        found = dict[str, StageJob]()
        for job_id in ours:
            file = self._paths(job_id).submitted_pickle
            if file.exists():
                work = self._submitit.helpers.DelayedSubmission.load(file).function
                found[job_id] = cast(StageJob, work)
        for path in self._folder.iterdir():
            if path.name.split("_")[0] not in found:
                path.unlink()  # ids of jobs may come again
        return found

    def _adopt(self, tasks: list[Task], found: dict[str, StageJob]) -> None:
        """Take the jobs that are in the queue for the tasks whose first stages they run."""
        by_stage = {stage: job_id for job_id, work in found.items() for stage in work.stages}
        for task in tasks:
            if job_id := next((by_stage[s] for s in task.stages if s in by_stage), ""):
                self._live[task.name] = _Job(job_id, task)
                say(f"job {job_id}: {task.name} is in the queue already")

    def _run(self, tasks: list[Task], limit: int) -> list[str]:
        """Submit tasks and wait for them; return the names of those that are not done."""
        by_name, needs = {task.name: task for task in tasks}, owners(tasks)
        done, started, asked = set[str](), time.monotonic(), 0.0
        for name, job in self._live.items():  # of an earlier call
            job.after = [self._live[before].id for before in needs[name] & set(self._live)]
        while True:
            for name, before in needs.items():
                if name not in done:
                    self._submit_if_possible(by_name[name], before - done, limit)
            if not self._live:
                return [name for name in needs if name not in done]
            time.sleep(POLL_S)
            now = time.monotonic()
            if now - asked >= min(max(ASK_S[0], ASK_SHARE * (now - started)), ASK_S[1]):
                asked = now
                self._ask()
            for name, job in list(self._live.items()):
                if (good := self._end(job)) is not None:
                    del self._live[name]
                    done |= {name} if good else set()
                    self._say_end(job, good, f"{len(needs) - len(done)} of {len(needs)} left")

    def _submit_if_possible(self, task: Task, before: set[str], limit: int) -> None:
        """Submit a task once those `before` it are in the queue; not one that is there, or has failed."""
        if task.name in self._live or task.tries >= TRIES or not before <= set(self._live):
            return
        if limit and len(self._live) >= limit:
            return
        after = [self._live[name].id for name in before]
        job = self._live[task.name] = _Job(self._submit(task, after), task, after)
        waits = f", after {', '.join(after)}" if after else ""
        self._board.say(f"job {job.id}: {', '.join(task.stages)}{waits}")

    def _submit(self, task: Task, after: list[str]) -> str:
        """Submit one job and return its id; raises InputError where SLURM refuses it."""
        options = self._options
        executor = self._submitit.SlurmExecutor(self._folder, max_num_timeout=options.requeue)
        cpus = options.cpus or None
        executor.update_parameters(
            job_name=task.name,
            time=options.minutes,
            signal_delay_s=min(NOTICE_S, 15 * options.minutes),
            cpus_per_task=cpus,
            srun_args=[f"--cpus-per-task={cpus}"] if cpus else [],  # srun asks anew
            setup=options.setup,
            additional_parameters=options.sbatch(task, after),
        )
        processes = options.gpus if is_on_gpus(task) else 1
        work = StageJob(str(self._project.resolve()), task.stages, processes)
        try:
            with _outside_of_jobs():
                return str(executor.submit(work).job_id)
        except (self._submitit.core.utils.FailedJobError, OSError) as error:
            raise InputError(
                f"sbatch refuses {task.name}: {str(error).strip()}; correct {SETTINGS} in {PARAMS}"
            ) from None

    def _ask(self) -> None:
        """Ask SLURM for the states of the jobs, and show them."""
        try:
            listed = _listed()
        except InputError as error:  # a controller that is busy: the next answer counts
            self._board.say(str(error))
            return
        for job in self._live.values():
            state, reason = listed.get(job.id, ["ENDED", "None"])[:2]
            job.absent = 0 if job.id in listed else job.absent + 1
            if state == "RUNNING" and job.started is None:
                job.started = time.monotonic()
            if state != "RUNNING":
                why = f" ({reason})" if reason != "None" else ""
                self._board.show(job.task.name, f"job {job.id} {state.lower()}{why}")

    def _end(self, job: _Job) -> bool | None:
        """Show what a job says; return whether it succeeded, or None where it has not ended."""
        paths = self._paths(job.id)
        with suppress(OSError), paths.stderr.open("rb") as stream:
            stream.seek(job.read)
            new = stream.read()
            job.read += len(new)
            for line in new.decode(errors="replace").splitlines():
                if line.strip() and not line.startswith(OF_SLURM):
                    self._board.show(job.task.name, line.strip())
        if paths.result_pickle.exists():
            outcome, _ = self._submitit.core.utils.pickle_load(paths.result_pickle)
            if outcome == "success":
                return True
        return False if job.absent >= ABSENT else None

    def _say_end(self, job: _Job, good: bool, left: str) -> None:
        """Say how a job ended. It is no try where SLURM removed it because one before it failed."""
        self._board.end(job.task.name)
        seconds = time.monotonic() - (job.started or time.monotonic())
        end = "done"
        if good:
            job.task.seconds = seconds
        else:
            self._failed.add(job.id)
            removed = any(job_id in self._failed for job_id in job.after)
            end = "removed" if removed else "failed"
            job.task.tries += not removed
            if not removed:
                self._board.say(self._tail(job))
        stages = ", ".join(job.task.stages)
        self._board.say(f"job {job.id}: {stages}: {end} in {duration(seconds)}, {left}")

    def _tail(self, job: _Job) -> str:
        """Return the end of what a failed job printed, and where all of it is."""
        paths = self._paths(job.id)
        printed = [path for path in (paths.stdout, paths.stderr) if path.exists()]
        lines = [line for path in printed for line in path.read_text(errors="replace").splitlines()]
        own = [line for line in lines if not line.startswith("submitit ")]
        return "\n".join([f"job {job.id}: {paths.stderr}", *own[-TAIL:]])

    def _paths(self, job_id: str) -> "submitit.core.utils.JobPaths":
        return self._submitit.core.utils.JobPaths(self._folder, job_id=job_id)


def _listed() -> dict[str, list[str]]:
    """Return state, reason, name and folder of all jobs of this user that have not ended, by their ids."""
    asked = subprocess.run(LIST, capture_output=True, text=True)
    if asked.returncode:
        raise InputError(f"squeue: {asked.stderr.strip() or 'no answer'}; is SLURM at work here?")
    rows = (line.split("|", 4) for line in asked.stdout.splitlines())
    return {row[0]: row[1:] for row in rows if len(row) == 5}


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide that this process is itself a job: what that job asked for is not for others."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [n for n in os.environ if n.startswith("SLURM_") and n != "SLURM_CONF" and inside]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
