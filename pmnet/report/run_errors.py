"""The errors of several runs on the same samples, in memory: one array per run, inference and number.

All statistics work on this table. It comes from the files that `evaluate` writes, or from packed files
(`report/benchmark/packed.py`), which are read as they are asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
from annotated_types import MinLen
from jaxtyping import Bool, Float

from pmnet.core.errors import InputError
from pmnet.core.ranges import Count, Distinct, Seed, Weight
from pmnet.evaluation.error_table import KEY, METRICS, SCHEMA, SCORED, read_errors
from pmnet.report.statistics import Measured

FACTS: Final = [*KEY, "subject", "sequence", "distance_to_mean_mm"]  # of a sample
ABOUT: Final = ("method", "k", "limb_weight", "protocol", "selection", "label")  # of a run
PROTOTYPES: Final = ("assigned", "chosen")
NO_PROTOTYPE: Final = -1
NO_SEED: Final = -1  # of a clustering: a memory that depends on none


@dataclass(frozen=True)
class RunFacts:
    """The settings of a run, and the seeds and inferences whose errors there are.

    `memory_seeds` has the clustering seed of each seed's memory, -1 where the memory depends on none.
    """

    method: str
    k: Count
    limb_weight: Weight
    protocol: str
    selection: str
    seeds: Annotated[tuple[Seed, ...], MinLen(1), Distinct()]
    inferences: Annotated[tuple[str, ...], MinLen(1), Distinct()]
    memory_seeds: tuple[int, ...]
    label: str = ""  # these three are set by experiments (pmnet sweep)
    group: str = ""
    settings: str = ""

    def memory_of_seed(self) -> dict[int, int]:
        """Return the clustering seed of each training seed."""
        return dict(zip(self.seeds, self.memory_seeds, strict=True))


@dataclass(frozen=True)
class RunErrors:
    """Errors (mm) and prototypes of runs on the same samples.

    `samples` has one row per sample: data set, sample, subject, sequence, distance to the mean body (mm, NaN
    without bodies). `column(run, seed, inference, name)` returns one number per sample: an error,
    NaN where the data set has none, or a prototype, -1 where there is none.

    A name RUN:INFERENCE stands for the errors of RUN by another selection of its prototype.
    """

    samples: pd.DataFrame
    runs: dict[str, RunFacts]
    column: Callable[[str, int, str, str], np.ndarray]
    extra: tuple[str, ...] = ()  # metrics beside METRICS

    @staticmethod
    def read(paths: Sequence[Path]) -> "RunErrors":
        """Return the errors in files of `evaluate`; see `read_errors` for what is refused."""
        return RunErrors.of_rows(read_errors(paths))

    @staticmethod
    def of_rows(rows: pd.DataFrame) -> "RunErrors":
        """Return the errors in rows of `read_errors`; samples keep their order in the first run."""
        samples = rows.drop_duplicates(KEY)[FACTS].reset_index(drop=True)
        order = pd.MultiIndex.from_frame(samples[KEY])
        places = order.get_indexer(pd.MultiIndex.from_frame(rows[KEY]))
        columns: dict[tuple[str, int, str, str], np.ndarray] = {}
        extra = tuple(str(name) for name in rows if name not in (*SCHEMA.names, *ABOUT))
        groups: dict[Any, Any] = rows.groupby(["run", "seed", "inference"], sort=False).indices
        for (run, seed, inference), here in groups.items():
            for name in (*PROTOTYPES, *METRICS, *extra):
                values = rows[name].to_numpy()[here]
                empty = NO_PROTOTYPE if name in PROTOTYPES else np.nan
                column = np.full(len(samples), empty, values.dtype)
                column[places[here]] = values
                columns[run, int(seed), inference, name] = column
        runs = {str(run): _facts(part) for run, part in rows.groupby("run", sort=False)}
        return RunErrors(samples, runs, lambda *key: columns[key], extra)

    def of_samples(self, where: Bool[np.ndarray, "samples"]) -> "RunErrors":
        """Return the errors of some samples."""
        samples = self.samples[where].reset_index(drop=True)
        return replace(self, samples=samples, column=lambda *key: self.column(*key)[where])

    def of_runs(self, names: Iterable[str]) -> "RunErrors":
        """Return the errors of some runs, in that order."""
        return replace(self, runs={name: self.runs[name] for name in names})

    def with_bodies(self) -> "RunErrors":
        """Return the errors of the samples whose true bodies are known."""
        return self.of_samples(self.samples["distance_to_mean_mm"].notna().to_numpy())

    def of_dataset(self, dataset: str | None) -> "RunErrors":
        """Return the errors on the test set of this name or, without a name, on all with bodies.

        Raises InputError where there is none.
        """
        found = self.with_bodies()
        names = list(found.samples["dataset"].unique())
        if not names or (dataset and dataset not in names):
            raise InputError(
                f"the test sets with bodies are {', '.join(names) or 'none'}; choose one with --dataset"
            )
        return found.of_samples(found.datasets()[dataset]) if dataset else found

    def __contains__(self, name: str) -> bool:
        """Return whether there are errors of that RUN or RUN:INFERENCE."""
        run, _, inference = name.partition(":")
        return run in self.runs and (inference or "model") in self.runs[run].inferences

    def facts(self, name: str) -> RunFacts:
        """Return the facts of a RUN or RUN:INFERENCE."""
        return self.runs[name.partition(":")[0]]

    def errors(self, name: str, inference: str, metric: str) -> Float[np.ndarray, "seeds samples"]:
        """Return an error (mm) of a RUN or RUN:INFERENCE; NaN where a data set has no such error."""
        return self._by_seed(*_run_and_inference(name, inference), metric)

    def measured(self, name: str, inference: str, metric: str) -> Measured:
        """Return `errors` for `statistics.interval`: with the seeds of the memories."""
        run = name.partition(":")[0]
        values = self.errors(name, inference, metric)
        return Measured(values, self.runs[run].memory_seeds, run)

    def right(self, name: str) -> Bool[np.ndarray, "seeds samples"]:
        """Return whether the prototype that a RUN or RUN:INFERENCE chose is the one assigned."""
        run, inference = _run_and_inference(name, "model")
        return self._by_seed(run, inference, "chosen") == self._by_seed(run, inference, "assigned")

    def run_of(self, method: str) -> str:
        """Return the name of the only run of a method; InputError where there are none or several."""
        runs = [run for run, facts in self.runs.items() if facts.method == method]
        if len(runs) != 1:
            raise InputError(
                f"expected the errors of one run of the method {method}, "
                f"got {', '.join(runs) or 'none'}; "
                "give runs/<run>/errors.parquet of exactly one with --errors"
            )
        return runs[0]

    def protocol(self) -> str:
        """Return how all runs were measured, as one phrase."""
        runs = self.runs.values()
        first = next((facts for facts in runs if facts.method != SCORED), next(iter(runs)))
        if first.method == SCORED:
            return first.protocol
        return f"{first.protocol}, {first.selection} selection"

    def datasets(self) -> dict[str, Bool[np.ndarray, "samples"]]:
        """Return which samples are of each data set, in the order of the samples."""
        names = self.samples["dataset"]
        return {name: (names == name).to_numpy() for name in names.unique()}

    def _by_seed(self, run: str, inference: str, name: str) -> np.ndarray:
        seeds = self.runs[run].seeds
        return np.stack([self.column(run, seed, inference, name) for seed in seeds])


def _run_and_inference(name: str, inference: str) -> tuple[str, str]:
    """Return run and inference of a RUN or RUN:INFERENCE, whose inference replaces the run's `model`."""
    run, _, own = name.partition(":")
    return run, own if own and inference == "model" else inference


def _facts(rows: pd.DataFrame) -> RunFacts:
    about: dict[str, Any] = {name: rows[name].iloc[0] for name in ABOUT}
    about |= {"k": int(about["k"]), "limb_weight": float(about["limb_weight"])}
    of_seed = rows.drop_duplicates("seed")
    about |= {f"{name}s": tuple(map(int, of_seed[name])) for name in ("seed", "memory_seed")}
    return RunFacts(**about, inferences=tuple(rows["inference"].unique()))
