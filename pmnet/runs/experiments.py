"""Experiments beside the graph: trainings that differ from params.yaml, side by side on all GPUs.

A file of experiments says, for each of them, which runs of the graph give the memories, the training seeds
of each memory, and what differs in `train`. A list of values in `set` is a grid: each combination is an
experiment, NAME+VALUE+VALUE. Each seed is one job. There is one worker per GPU, and it takes job after job,
so that images are put on the GPU once. Results go to sweeps/NAME: the graph owns runs/NAME. A job that was
done with the same settings is not done again.
"""

import hashlib
import itertools
import json
import multiprocessing
import os
import queue
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from pmnet.core import params
from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine, visible_gpus
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_unwritable, replacing
from pmnet.core.progress import say
from pmnet.core.ranges import Seed
from pmnet.core.stage import message_of
from pmnet.data.names import check_name
from pmnet.data.sets import Split, images_of, pairs_of, samples_of
from pmnet.evaluation.error_table import merge_errors
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate
from pmnet.report.benchmark.packed import load_packed
from pmnet.runs.board import Board, LinesTo, seconds_between_lines
from pmnet.training.options import Train
from pmnet.training.seed import train_seed

RUNS, SWEEPS, BODY = Path("runs"), Path("sweeps"), Path("data/body.npz")
TRAIN_SETS = Path("data/train.json")
POLL_S = 1.0
Message = tuple[
    str, str, str
]  # job, a line that it said, or, where the line is empty, its error or nothing


@dataclass(frozen=True)
class Experiment:
    """Trainings by the same settings: what it `set`s differently in `train`.

    `memories` maps the runs that give the memories to the training seeds on each; a seed is there once.
    """

    label: str
    group: str
    memories: dict[str, list[Seed]]
    set: dict[str, Any]

    def jobs(self, name: str, splits: Sequence[Split]) -> list["Job"]:
        """Return its jobs, in the order of their seeds."""
        by_seed = {seed: memory for memory, seeds in self.memories.items() for seed in seeds}
        return [Job(name, self, by_seed[seed], seed, splits) for seed in sorted(by_seed)]


@dataclass(frozen=True)
class Job:
    """One seed of an experiment."""

    name: str
    experiment: Experiment
    memory: str
    seed: int
    splits: Sequence[Split]

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"{self.name} seed {self.seed}"

    @property
    def memory_file(self) -> Path:
        """Return the file of its memory."""
        return RUNS / self.memory / "memory.npz"

    @property
    def scored_pairs(self) -> list[tuple[Path, Path]]:
        """Return the samples and images of all data sets that it is scored on."""
        return [pair for split in self.splits for pair in pairs_of(sets_file(split))]

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
        memory, files = self.memory_file.read_bytes(), [TRAIN_SETS, *map(sets_file, self.splits)]
        settings = {
            "train": asdict(self.options(file)),
            "evaluate": asdict(params.load(file, "evaluate", Evaluate, {})),
            "memory": hashlib.sha256(memory).hexdigest(),
            "sets": [json.loads(sets.read_text()) for sets in files],
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


def sets_file(split: Split) -> Path:
    """Return the list of the data sets of a split."""
    return Path(f"data/{split}.json")


def read_experiments(file: Path) -> dict[str, Experiment]:
    """Return the experiments of a file by name, grids as their combinations.

    Raises InputError naming the key that is wrong.
    """
    found = params.read(file, "experiments")
    if not isinstance(found, dict) or not found:
        raise InputError(f"{file}: experiments: expected names with settings, got {found!r:.200}")
    experiments: dict[str, Experiment] = {}
    for name, value in found.items():
        where = f"{file}: experiments.{name!s:.100}"
        experiment: Experiment = params.parse(Experiment, value, where)
        for run in experiment.memories:
            check_name(run, f"{where}.memories")
        seeds = [seed for some in experiment.memories.values() for seed in some]
        if len(set(seeds)) < len(seeds) or not seeds:
            raise InputError(f"{where}.memories: expected different seeds, got {seeds}")
        experiments |= dict(_combinations(check_name(str(name), where), experiment))
    return experiments


def _combinations(name: str, experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    """Yield the experiments of a grid by name, or the one that is no grid."""
    grid = {key: values for key, values in experiment.set.items() if isinstance(values, list)}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        full = "+".join([name, *map(str, values)])
        yield full, replace(experiment, set={**experiment.set, **chosen})


def run_experiments(
    file: Path,
    settings: Path,
    groups: list[str],
    devices: int,
    splits: Sequence[Split],
    packed: Sequence[Path] = (),
) -> None:
    """Train the experiments of some groups (none: all), `devices` at a time, and score them on splits.

    Seeds whose errors are in files of `packed` errors were trained elsewhere, and are left out. 0 devices:
    one per GPU, or one. Writes sweeps/<name>/errors.parquet of all seeds. Raises InputError where any job
    failed.
    """
    known = read_experiments(file)
    experiments = {k: e for k, e in known.items() if not groups or e.group in groups}
    if not experiments:
        names = ", ".join(sorted({e.group for e in known.values()}))
        raise InputError(f"{file}: no experiment of {', '.join(groups)}; the groups are: {names}")
    by_name = {name: e.jobs(name, splits) for name, e in experiments.items()}
    elsewhere = _seeds_in(packed)
    by_name = {
        name: [job for job in mine if (name, job.seed) not in elsewhere]
        for name, mine in by_name.items()
    }
    jobs = [job for mine in by_name.values() for job in mine]
    for job in jobs:
        job.options(settings)
        if not (memory := job.memory_file).exists():
            raise InputError(f"{file}: {memory} is missing: run dvc repro cluster first")
        refuse_unwritable(job.folder, folder=True)
    for sets in (TRAIN_SETS, *map(sets_file, splits)):
        pairs_of(sets)
    waiting = [job for job in jobs if not job.done(settings)]
    say(f"{len(waiting)} of {len(jobs)} jobs to do")
    failed = list(_side_by_side(waiting, settings, devices))
    for name, mine in by_name.items():
        if mine and all(job.done(settings) for job in mine):
            merge_errors([job.errors for job in mine], SWEEPS / name / "errors.parquet")
    if failed:
        raise InputError(f"{len(failed)} jobs failed, see above: {', '.join(failed)}; run it again")


def _seeds_in(packed: Sequence[Path]) -> set[tuple[str, int]]:
    """Return the experiments and seeds whose errors are packed."""
    runs = load_packed(packed).runs if packed else {}
    return {(name, seed) for name, facts in runs.items() for seed in facts.seeds}


def _side_by_side(jobs: list[Job], settings: Path, devices: int) -> Iterator[str]:
    """Run jobs in processes of their own and yield the names of those that failed."""
    gpus = visible_gpus()
    context = multiprocessing.get_context("spawn")
    os.environ.update(seconds_between_lines())
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
    with Board() as board:
        while left and (message := _next(done, processes)):
            title, line, error = message
            if line:
                board.show(title, line)
                continue
            left.remove(title)
            board.end(title)
            end = f"failed: {error}" if error else "done"
            board.say(f"{title}: {end}; {len(left)} of {len(jobs)} left")
            if error:
                yield title
    yield from left  # all workers were killed
    for process in processes:
        process.join()


def _next(done: Any, processes: list[Any]) -> Message | None:
    """Return the next message of a worker, or None where no worker is alive to send any."""
    while True:
        alive = any(process.is_alive() for process in processes)
        with suppress(queue.Empty):
            return cast(Message, done.get(timeout=POLL_S))
        if not alive:
            return None


def _work(gpu: str, settings: Path, waiting: Any, done: Any) -> None:
    """Take job after job, on one GPU: it is chosen before torch has looked for any."""
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    while (job := waiting.get()) is not None:
        title = job.title
        tell = LinesTo(lambda line, title=title: done.put((title, line, "")))  # type: ignore[misc]
        try:
            with redirect_stderr(tell):
                _run(job, settings)
            done.put((title, "", ""))
        except Exception as error:  # the other jobs go on
            done.put((title, "", message_of(error) or "\n" + traceback.format_exc()))


def _run(job: Job, settings: Path) -> None:
    """Train and evaluate one job."""
    machine: Machine = params.load(settings, "machine", Machine, {})
    evaluate: Evaluate = params.load(settings, "evaluate", Evaluate, {})
    memory = job.memory_file
    options, models = job.options(settings), job.folder / "train"
    started = time.monotonic()
    given = samples_of(TRAIN_SETS), images_of(TRAIN_SETS), memory, BODY
    train_seed(*given, models, job.seed, options, machine)
    trained = time.monotonic()
    evaluator = Evaluator.load(memory, models, BODY, [job.seed], evaluate, machine)
    experiment = job.experiment
    more = {"label": experiment.label, "group": experiment.group, "set": experiment.set}
    job.made_by.unlink(missing_ok=True)  # errors never lie beside the settings of others
    evaluator.write(job.name, job.scored_pairs, job.errors, more)
    with replacing(job.made_by) as partial:
        partial.write_text(job.settings(settings))
    forget(models)
    ended = time.monotonic()
    say(f"{job.name}: trained in {trained - started:.0f} s, evaluated in {ended - trained:.0f} s")
