"""Per-sample errors of many runs in one small file: a row a sample, a column a run, seed and error.

Columns are named RUN/SEED/INFERENCE/WHAT. Errors are whole tenths of a millimetre (uint16: at most
0.05 mm off, at most 6553.5 mm), prototypes int16, what belongs to the sample is kept as it was. Of
columns that are equal only the first is there: `same`, in the file's metadata, leads to it. What starts
from the same prototype is not repeated: an empty cell of `chosen_prototype` is that of
`assigned_prototype`, of the others that of `model`.

RUN:INFERENCE names the errors of a run by another selection of its prototype, as if it were a run.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY, METRICS, SCHEMA, TOLD_BODIES

FACTS: Final = [*KEY, "sequence", "distance_to_mean_mm"]  # of a sample
SAME_MM: Final = 0.01
PROTOTYPES: Final = ("assigned", "chosen")
METADATA: Final = b"pmnet.packed"
TENTHS: Final = 10  # of a millimetre
CURE: Final = "pack the errors of the runs again (pmnet errors pack)"


@dataclass(frozen=True)
class RunFacts:
    """What is known of all errors of a run."""

    method: str
    k: int
    limb_weight: float
    protocol: str
    selection: str
    seeds: tuple[int, ...]
    inferences: tuple[str, ...]
    label: str  # these three as its file says, or empty
    group: str
    settings: str


@dataclass(frozen=True)
class Packed:
    """The errors in packed files of the same samples; numbers are read when they are asked for.

    `samples` has one row a sample: data set, sample, sequence, distance to the mean body (mm). `files`
    are by RUN/SEED: a run's seeds may be in several.
    """

    samples: pd.DataFrame
    runs: dict[str, RunFacts]
    files: dict[str, Path]
    same: dict[str, str]
    rows: Int[np.ndarray, "samples"]

    @staticmethod
    def load(paths: Sequence[Path]) -> "Packed":
        """Return the errors in some packed files.

        Raises InputError, naming the file, where one is missing, cut or not packed, and where two
        are of other samples, or hold the same seed of a run or a run by other settings.
        """
        if not paths:
            raise InputError(f"no packed errors; {CURE}")
        first: Packed | None = None
        for path in paths:
            here = _read(path)
            first = here if first is None else _joined(first, here, path)
        assert first is not None
        return first

    def of_dataset(self, dataset: str | None) -> "Packed":
        """Return the samples of one test set: that of this name, or the only one with bodies.

        Raises InputError where there is none or, without a name, where there are several.
        """
        with_bodies = self.samples.dropna(subset="distance_to_mean_mm")
        names = list(with_bodies["dataset"].unique())
        if dataset not in names if dataset else len(names) != 1:
            raise InputError(
                f"the test sets with bodies are {', '.join(names) or 'none'}; choose one with --dataset"
            )
        rows = (self.samples["dataset"] == (dataset or names[0])).to_numpy().nonzero()[0]
        return replace(
            self, samples=self.samples.iloc[rows].reset_index(drop=True), rows=self.rows[rows]
        )

    def __contains__(self, name: str) -> bool:
        """Return whether there are errors of that RUN or RUN:INFERENCE."""
        run, _, inference = name.partition(":")
        return run in self.runs and (inference or "model") in self.runs[run].inferences

    def facts(self, name: str) -> RunFacts:
        """Return what is known of a RUN or RUN:INFERENCE."""
        return self.runs[name.partition(":")[0]]

    def errors(self, name: str, inference: str, metric: str) -> Float[np.ndarray, "seeds samples"]:
        """Return an error (mm) of a RUN or RUN:INFERENCE; NaN where a data set has no such error."""
        run, inference = _told(name, inference)
        errors = self._numbers(run, inference, packed_name(metric)).astype(np.float64) / TENTHS
        if (equal := equal_to(inference)) in self.runs[run].inferences:
            errors = np.where(np.isnan(errors), self.errors(run, str(equal), metric), errors)
        if inference in TOLD_BODIES:
            errors[:, self.samples["distance_to_mean_mm"].isna()] = np.nan
        return errors

    def right(self, name: str) -> Bool[np.ndarray, "seeds samples"]:
        """Return whether the prototype that a RUN or RUN:INFERENCE chose is the one assigned."""
        told = _told(name, "model")
        return self._numbers(*told, "chosen") == self._numbers(*told, "assigned")

    def frame(self, runs: Sequence[str], inferences: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the rows of some runs as `read_errors` has them, errors rounded to 0.1 mm."""
        parts = [
            self._rows(run, inference)
            for run in runs
            for inference in self.runs[run].inferences
            if inferences is None or inference in inferences
        ]
        return pd.concat(parts, ignore_index=True)

    def _rows(self, run: str, inference: str) -> pd.DataFrame:
        facts = self.runs[run]
        seeds, samples = len(facts.seeds), len(self.samples)
        rows = self.samples.iloc[np.tile(np.arange(samples), seeds)].reset_index(drop=True)
        rows = rows.assign(run=run, inference=inference, seed=np.repeat(facts.seeds, samples))
        for name in PROTOTYPES:
            rows[name] = self._numbers(run, inference, name).ravel().astype(np.int64)
        for metric in METRICS:
            rows[metric] = self.errors(run, inference, metric).ravel()
        if inference in TOLD_BODIES:
            rows = rows.dropna(subset="distance_to_mean_mm")
        about = {name: getattr(facts, name) for name in ABOUT}
        return rows[list(SCHEMA.names)].assign(**about)

    def _numbers(self, run: str, inference: str, what: str) -> np.ndarray:
        found = []
        for seed in self.runs[run].seeds:
            name = f"{run}/{seed}/{inference}/{what}"
            table = self._open[self.files[f"{run}/{seed}"]].read([self.same.get(name, name)])
            found.append(table[0].to_numpy()[self.rows])
        return np.stack(found)

    @cached_property
    def _open(self) -> dict[Path, pq.ParquetFile]:
        return {path: pq.ParquetFile(path, memory_map=True) for path in set(self.files.values())}


ABOUT: Final = ("method", "k", "limb_weight", "protocol", "selection")


def packed_name(metric: str) -> str:
    """Return the name of an error in a packed file."""
    return metric.removesuffix("_mm") + "_tenth_mm"


def equal_to(inference: str) -> str | None:
    """Return the inference that the empty cells of another are equal to."""
    if inference in ("model", "assigned_prototype", "mean"):
        return None
    return "assigned_prototype" if inference == "chosen_prototype" else "model"


def _told(name: str, inference: str) -> tuple[str, str]:
    """Return run and inference of a RUN or RUN:INFERENCE; the latter stands for the run's `model`."""
    run, _, own = name.partition(":")
    return run, own if own and inference == "model" else inference


def _read(path: Path) -> Packed:
    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {})[METADATA])
            samples = file.read(columns=FACTS).to_pandas()
        runs = {run: RunFacts(**_as_tuples(facts)) for run, facts in about["runs"].items()}
        missing = set(_needed(runs)) - set(about["same"]) - set(file.schema_arrow.names)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of packed errors; {CURE}") from None
    except (KeyError, TypeError, ValueError, pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not packed errors, or cut short ({error}); {CURE}") from None
    if missing or list(samples) != FACTS:
        raise InputError(f"{path}: columns are missing ({' '.join(sorted(missing)[:3])}); {CURE}")
    files = {f"{run}/{seed}": path for run, facts in runs.items() for seed in facts.seeds}
    return Packed(samples, runs, files, about["same"], np.arange(len(samples)))


def _needed(runs: dict[str, RunFacts]) -> Iterator[str]:
    for run, facts in runs.items():
        for seed in facts.seeds:
            for inference in facts.inferences:
                for what in (*PROTOTYPES, *map(packed_name, METRICS)):
                    yield f"{run}/{seed}/{inference}/{what}"


def _as_tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}


def _same_samples(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether all facts are equal, distances but for the rounding of another machine."""
    distance = FACTS[-1]
    others = [fact for fact in FACTS if fact != distance]
    return one[others].equals(other[others]) and np.allclose(
        one[distance], other[distance], rtol=0, atol=SAME_MM, equal_nan=True
    )


def _joined(first: Packed, other: Packed, path: Path) -> Packed:
    """Return the errors of both; refuse `other`, in the file `path`, where they do not fit."""
    there = next(iter(first.files.values()))
    if not _same_samples(first.samples, other.samples):
        raise InputError(f"{path}: other samples than {there}; {CURE}, of the same test sets")
    if twice := sorted(first.files.keys() & other.files.keys()):
        there = first.files[twice[0]]
        raise InputError(f"{path}: {', '.join(twice)}: also in {there}; pack a seed once")
    runs = dict(first.runs)
    for run, facts in other.runs.items():
        known = runs.get(run, facts)
        if replace(known, seeds=facts.seeds) != facts:
            raise InputError(f"{path}: {run}: by other settings than before; rename that run")
        runs[run] = replace(facts, seeds=tuple(sorted({*known.seeds, *facts.seeds})))
    return replace(first, runs=runs, files=first.files | other.files, same=first.same | other.same)
