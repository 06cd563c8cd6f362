"""Errors of many runs in one small file: a row per sample, a column per run, seed and error.

Columns are named RUN/SEED/INFERENCE/WHAT. Errors are whole halves of a millimetre (int16: at most 0.25 mm
off, at most 16383.5 mm), MPJPE as its difference from MPVPE, which takes fewer bytes (0 where MPVPE is
missing); prototypes are int16; the facts of a sample are kept as they were. Of equal
columns only the first is stored: `same`, in the file's metadata, maps the others to it. An error that
starts from the same prototype is not repeated: an empty cell of `chosen_prototype` equals the
cell of `assigned_prototype`, an empty cell of the other inferences the cell of `model`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pmnet.core.errors import InputError
from pmnet.core.header import read_header
from pmnet.evaluation.error_table import METRICS, NEED_BODIES, open_parquet
from pmnet.report.run_errors import FACTS, PROTOTYPES, RunErrors, RunFacts

SAME_MM: Final = 0.01
METADATA: Final = b"pmnet.packed"
HALVES: Final = 2  # of a millimetre
KEPT: Final = 256  # columns: a reference is asked for by every run
CURE: Final = "pack the errors of the runs again (pmnet errors pack)"


def load_packed(paths: Sequence[Path]) -> RunErrors:
    """Return the errors in packed files of the same samples; columns are read as they are asked for.

    Raises InputError, naming the file, where one is missing, cut or not packed, and where two are of
    other samples, hold the same seed of a run, or hold a run by other settings.
    """
    if not paths:
        raise InputError(f"no packed errors; {CURE}")
    first = _read(paths[0])
    for path in paths[1:]:
        first = _joined(first, _read(path), path)
    return RunErrors(first.samples, first.runs, lru_cache(maxsize=KEPT)(first.column))


def is_packed(path: Path) -> bool:
    """Return whether a file holds packed errors; False for what is no file of Parquet."""
    try:
        with open_parquet(path) as file:
            return METADATA in (file.schema_arrow.metadata or {})
    except (InputError, OSError, ValueError, pa.ArrowException):
        return False  # who reads it says what is wrong


def packed_name(metric: str) -> str:
    """Return the name of an error in a packed file."""
    return metric.removesuffix("_mm") + "_half_mm"


def equal_to(inference: str) -> str | None:
    """Return the inference that the empty cells of another are equal to."""
    if inference in ("model", "assigned_prototype", "mean"):
        return None
    return "assigned_prototype" if inference == "chosen_prototype" else "model"


@dataclass(frozen=True)
class _Header:
    """The header of a packed file: its runs, and the columns that equal another."""

    runs: dict[str, RunFacts]
    same: dict[str, str]


@dataclass(frozen=True)
class _PackedFiles:
    """Packed files of the same samples; `files` is by RUN/SEED: a run's seeds may be in several."""

    samples: pd.DataFrame
    runs: dict[str, RunFacts]
    files: dict[str, Path]
    same: dict[str, str]

    def column(self, run: str, seed: int, inference: str, name: str) -> np.ndarray:
        """Return the numbers of a run, seed and inference: prototypes, or an error in mm."""
        if name in PROTOTYPES:
            return self._stored(run, seed, inference, name).astype(np.int64)
        errors = self._stored(run, seed, inference, packed_name(name)).astype(np.float64) / HALVES
        if name == "mpjpe_mm":
            errors += np.nan_to_num(self.column(run, seed, inference, "mpvpe_mm"))
        if (equal := equal_to(inference)) in self.runs[run].inferences:
            errors = np.where(np.isnan(errors), self.column(run, seed, str(equal), name), errors)
        if inference in NEED_BODIES:
            errors[self.samples["distance_to_mean_mm"].isna()] = np.nan
        return errors

    def _stored(self, run: str, seed: int, inference: str, what: str) -> np.ndarray:
        name = f"{run}/{seed}/{inference}/{what}"
        path = self.files[f"{run}/{seed}"]
        try:
            table = self._open[path].read([self.same.get(name, name)])
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: {name} is damaged ({error}); {CURE}") from None
        stored: np.ndarray = table[0].to_numpy()
        return stored

    @cached_property
    def _open(self) -> dict[Path, pq.ParquetFile]:
        return {path: pq.ParquetFile(path, memory_map=True) for path in set(self.files.values())}


def _read(path: Path) -> _PackedFiles:
    try:
        with open_parquet(path) as file:
            content = (file.schema_arrow.metadata or {}).get(METADATA, b"null")
            about: _Header = read_header(_Header, content, path, "not packed errors", CURE)
            types = {f.name: f.type for f in file.schema_arrow}
            facts = file.read(columns=[fact for fact in FACTS if fact in types])
            facts.validate(full=True)  # texts of damaged bytes
            samples = facts.to_pandas()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of packed errors; {CURE}") from None
    except (KeyError, TypeError, ValueError, pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not packed errors, or cut short ({error}); {CURE}") from None
    missing = [name for name in _needed(about.runs) if not _is_stored(name, about.same, types)]
    missing += [fact for fact in FACTS if fact not in types]
    if missing:
        raise InputError(f"{path}: columns are missing ({' '.join(sorted(missing)[:3])}); {CURE}")
    files = {f"{run}/{seed}": path for run, facts in about.runs.items() for seed in facts.seeds}
    return _PackedFiles(samples, about.runs, files, about.same)


def _is_stored(name: str, same: dict[str, str], types: dict[str, pa.DataType]) -> bool:
    return pa.types.is_integer(types.get(same.get(name, name), pa.null()))


def _needed(runs: dict[str, RunFacts]) -> Iterator[str]:
    for run, facts in runs.items():
        for seed in facts.seeds:
            for inference in facts.inferences:
                for what in (*PROTOTYPES, *map(packed_name, METRICS)):
                    yield f"{run}/{seed}/{inference}/{what}"


def _same_samples(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether all facts are equal; distances may differ by the rounding of another machine."""
    distance = FACTS[-1]
    others = [fact for fact in FACTS if fact != distance]
    return one[others].equals(other[others]) and np.allclose(
        one[distance], other[distance], rtol=0, atol=SAME_MM, equal_nan=True
    )


def _joined(first: _PackedFiles, other: _PackedFiles, path: Path) -> _PackedFiles:
    """Return the errors of both; refuse `other`, from the file `path`, where it does not fit."""
    there = next(iter(first.files.values()))
    if not _same_samples(first.samples, other.samples):
        raise InputError(
            f"{path}: other samples than in {there}; pack it alone first, on the same test sets "
            "(pmnet errors pack --dataset NAME)"
        )
    if twice := sorted(first.files.keys() & other.files.keys()):
        there = first.files[twice[0]]
        raise InputError(f"{path}: {', '.join(twice)}: also in {there}; pack a seed once")
    runs = dict(first.runs)
    for run, facts in other.runs.items():
        known = runs.get(run, facts)
        if replace(known, seeds=facts.seeds, memory_seeds=facts.memory_seeds) != facts:
            raise InputError(
                f"{path}: {run} has other settings than in the files before; rename that run"
            )
        memory_of = known.memory_of_seed() | facts.memory_of_seed()
        seeds = tuple(sorted(memory_of))
        memories = tuple(memory_of[seed] for seed in seeds)
        runs[run] = replace(facts, seeds=seeds, memory_seeds=memories)
    return replace(first, runs=runs, files=first.files | other.files, same=first.same | other.same)
