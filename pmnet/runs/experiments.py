"""Experiments: trainings that differ from params.yaml, read from a file.

A file of experiments says, for each of them, which runs of the graph give the memories, the training seeds
of each memory, and what differs in `train`. A list of values in `set` is a grid: each combination is an
experiment, NAME+VALUE+VALUE. Each seed is one row (`pmnet.runs.rows`).
"""

import itertools
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.ranges import Seed
from pmnet.data.names import check_name
from pmnet.training.options import Train

RUNS: Final = Path("runs")
SWEEPS: Final = Path("sweeps")


@dataclass(frozen=True)
class Experiment:
    """Trainings by the same settings: what it `set`s differently in `train`.

    `memories` maps the runs that give the memories to the training seeds on each; a seed is there once.
    """

    label: str
    group: str
    memories: dict[str, list[Seed]]
    set: dict[str, Any]

    def rows(self, name: str) -> list["Row"]:
        """Return its rows, in the order of their seeds."""
        by_seed = {seed: memory for memory, seeds in self.memories.items() for seed in seeds}
        return [Row(name, self, by_seed[seed], seed) for seed in sorted(by_seed)]


@dataclass(frozen=True)
class Row:
    """One seed of an experiment: a training and its evaluation."""

    name: str
    experiment: Experiment
    memory: str
    seed: int

    @property
    def key(self) -> str:
        """Return what it is called in the graph of rows."""
        return f"{self.name}-{self.seed}"

    @property
    def memory_file(self) -> Path:
        """Return the file of its memory."""
        return RUNS / self.memory / "memory.npz"

    @property
    def folder(self) -> Path:
        """Return where its weights, log and errors go."""
        return SWEEPS / self.name / f"seed_{self.seed}"

    @property
    def errors(self) -> Path:
        """Return the file of its errors."""
        return self.folder / "errors.parquet"

    @property
    def options_of_train(self) -> str:
        """Return what differs in `train` as options of the train stage, quoted for the shell."""
        values = {key: json.dumps(value) for key, value in self.experiment.set.items()}
        return "".join(f" --set {shlex.quote(f'{key}={text}')}" for key, text in values.items())

    def settings(self, file: Path) -> Train:
        """Return its settings of training; raises InputError for one that there is not."""
        chosen = {**self.experiment.set, "seeds": [self.seed]}
        options: Train = params.load(file, "train", Train, chosen)
        return options


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
        if empty := [key for key, values in experiment.set.items() if values == []]:
            raise InputError(f"{where}.set.{empty[0]}: an empty list; give values, or leave it out")
        seeds = [seed for some in experiment.memories.values() for seed in some]
        if len(set(seeds)) < len(seeds) or not seeds:
            raise InputError(f"{where}.memories: expected different seeds, got {seeds}")
        for full, one in _combinations(check_name(str(name), where), experiment):
            if check_name(full, where) in experiments:
                raise InputError(f"{where}: {full} is there twice; rename one, or repeat no value")
            experiments[full] = one
    return experiments


def _combinations(name: str, experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    """Yield the experiments of a grid by name, or the one that is no grid."""
    grid = {key: values for key, values in experiment.set.items() if isinstance(values, list)}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        full = "+".join([name, *map(str, values)])
        yield full, replace(experiment, set={**experiment.set, **chosen})
