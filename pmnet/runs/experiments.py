"""Experiments beside the graph: trainings that differ from params.yaml, side by side on all GPUs.

A file of experiments says, for each of them, which run of the graph gives the memory, what differs in
`train`, and the seeds. Each seed is one job. There is one worker per GPU, and it takes job after job, so
that images are put on the GPU once. Results go to sweeps/NAME: the graph owns runs/NAME. A job that was
done with the same settings is not done again.
"""

import hashlib
import json
import multiprocessing
import os
import queue
import re
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pmnet.core import params
from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine, visible_gpus
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_unwritable, replacing
from pmnet.core.progress import say
from pmnet.core.ranges import Seeds
from pmnet.core.stage import message_of
from pmnet.data.sets import images_of, pairs_of, samples_of
from pmnet.evaluation.error_table import merge_errors
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate
from pmnet.training.options import Train
from pmnet.training.seed import train_seed

RUNS, SWEEPS, BODY = Path("runs"), Path("sweeps"), Path("data/body.npz")
TRAIN_SETS, TEST_SETS = Path("data/train.json"), Path("data/test.json")
POLL_S = 1.0


@dataclass(frozen=True)
class Experiment:
    """A training on the memory of the run `memory`, with what it `set`s differently in `train`."""

    label: str
    group: str
    memory: str
    seeds: Seeds
    set: dict[str, Any]

    @property
    def memory_file(self) -> Path:
        """Return the file of its memory."""
        return RUNS / self.memory / "memory.npz"


@dataclass(frozen=True)
class Job:
    """One seed of an experiment."""

    name: str
    experiment: Experiment
    seed: int

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"{self.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Return where its weights, log and errors go."""
        return SWEEPS / self.name / f"seed_{self.seed}"

    @property
    def errors(self) -> Path:
        """Return the file of its errors."""
        return self.folder / "errors.parquet"

    @property
    def made_by(self) -> Path:
        """Return the file that says what its errors were made by."""
        return self.folder / "settings.json"

    def settings(self, file: Path) -> str:
        """Return what its errors depend on, as text; of the data sets only which they are."""
        memory = self.experiment.memory_file.read_bytes()
        settings = {
            "train": asdict(self.options(file)),
            "evaluate": asdict(params.load(file, "evaluate", Evaluate, {})),
            "memory": hashlib.sha256(memory).hexdigest(),
            "sets": [json.loads(sets.read_text()) for sets in (TRAIN_SETS, TEST_SETS)],
        }
        return json.dumps(settings, indent=1)

    def done(self, file: Path) -> bool:
        """Return whether there are errors by these very settings."""
        made = self.made_by.read_text(errors="replace") if self.made_by.is_file() else ""
        return self.errors.exists() and made == self.settings(file)

    def options(self, file: Path) -> Train:
        """Return its settings; raises InputError for one that there is not."""
        chosen = {**self.experiment.set, "seeds": [self.seed]}
        options: Train = params.load(file, "train", Train, chosen)
        return options


def read_experiments(file: Path) -> dict[str, Experiment]:
    """Return the experiments of a file by name; raises InputError naming the key that is wrong."""
    found = params.read(file, "experiments")
    if not isinstance(found, dict) or not found:
        raise InputError(f"{file}: experiments: expected names with settings, got {found!r:.200}")
    experiments = {}
    for name, value in found.items():
        where = f"{file}: experiments.{name!s:.100}"
        _refuse_path(str(name), where, f"the results go to {SWEEPS}/NAME")
        experiment: Experiment = params.parse(Experiment, value, where)
        _refuse_path(experiment.memory, f"{where}.memory", f"it is {RUNS}/NAME/memory.npz")
        experiments[str(name)] = experiment
    return experiments


def _refuse_path(name: str, where: str, because: str) -> None:
    if name in (".", "..") or not re.fullmatch(r"[\w.+-]{1,200}", name):
        raise InputError(
            f"{where}: a name may have letters, digits and . _ + - only, because {because}; rename it"
        )


def run_experiments(file: Path, settings: Path, groups: list[str], devices: int) -> None:
    """Train and evaluate the experiments of some groups (none: all), `devices` at a time.

    0 devices: one per GPU, or one. Writes sweeps/<name>/errors.parquet of all seeds. Raises InputError
    where any job failed.
    """
    known = read_experiments(file)
    experiments = {k: e for k, e in known.items() if not groups or e.group in groups}
    if not experiments:
        names = ", ".join(sorted({e.group for e in known.values()}))
        raise InputError(f"{file}: no experiment of {', '.join(groups)}; the groups are: {names}")
    by_name = {k: [Job(k, e, seed) for seed in e.seeds] for k, e in experiments.items()}
    jobs = [job for mine in by_name.values() for job in mine]
    for job in jobs:
        job.options(settings)
        if not (memory := job.experiment.memory_file).exists():
            raise InputError(f"{file}: {memory} is missing: run dvc repro cluster first")
        refuse_unwritable(job.folder, folder=True)
    for sets in (TRAIN_SETS, TEST_SETS):
        pairs_of(sets)
    waiting = [job for job in jobs if not job.done(settings)]
    say(f"{len(waiting)} of {len(jobs)} jobs to do")
    failed = list(_side_by_side(waiting, settings, devices))
    for name, mine in by_name.items():
        if all(job.done(settings) for job in mine):
            merge_errors([job.errors for job in mine], SWEEPS / name / "errors.parquet")
    if failed:
        raise InputError(f"{len(failed)} jobs failed, see above: {', '.join(failed)}; run it again")


def _side_by_side(jobs: list[Job], settings: Path, devices: int) -> Iterator[str]:
    """Run jobs in processes of their own and yield the names of those that failed."""
    gpus = visible_gpus()
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    for job in jobs:
        waiting.put(job)
    processes = []
    for index in range(min(devices or len(gpus) or 1, len(jobs))):
        waiting.put(None)  # one a worker: no more to do
        gpu = gpus[index % len(gpus)] if gpus else ""
        processes.append(context.Process(target=_work, args=(gpu, settings, waiting, done)))
        processes[-1].start()
    left = [job.title for job in jobs]
    while left and (end := _next(done, processes)):
        title, error = end
        left.remove(title)
        say(f"{title}: {'failed: ' + error if error else 'done'}; {len(left)} of {len(jobs)} left")
        if error:
            yield title
    yield from left  # all workers were killed
    for process in processes:
        process.join()


def _next(done: Any, processes: list[Any]) -> tuple[str, str] | None:
    """Return what ended next, or None where no worker is alive to end anything."""
    while True:
        alive = any(process.is_alive() for process in processes)
        with suppress(queue.Empty):
            return cast(tuple[str, str], done.get(timeout=POLL_S))
        if not alive:
            return None


def _work(gpu: str, settings: Path, waiting: Any, done: Any) -> None:
    """Take job after job, on one GPU: it is chosen before torch has looked for any."""
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    while (job := waiting.get()) is not None:
        try:
            _run(job, settings)
            done.put((job.title, ""))
        except Exception as error:  # the other jobs go on
            done.put((job.title, message_of(error) or "\n" + traceback.format_exc()))


def _run(job: Job, settings: Path) -> None:
    """Train and evaluate one job."""
    machine: Machine = params.load(settings, "machine", Machine, {})
    evaluate: Evaluate = params.load(settings, "evaluate", Evaluate, {})
    memory, single = job.experiment.memory_file, RUNS / "single/memory.npz"
    options, models = job.options(settings), job.folder / "train"
    started = time.monotonic()
    given = samples_of(TRAIN_SETS), images_of(TRAIN_SETS), memory, BODY
    train_seed(*given, models, job.seed, options, machine)
    trained = time.monotonic()
    evaluator = Evaluator.load(memory, single, models, BODY, [job.seed], evaluate, machine)
    experiment = job.experiment
    more = {"label": experiment.label, "group": experiment.group, "set": experiment.set}
    job.made_by.unlink(missing_ok=True)  # errors never lie beside the settings of others
    evaluator.write(job.name, pairs_of(TEST_SETS), job.errors, more)
    with replacing(job.made_by) as partial:
        partial.write_text(job.settings(settings))
    forget(models)
    ended = time.monotonic()
    say(f"{job.name}: trained in {trained - started:.0f} s, evaluated in {ended - trained:.0f} s")
