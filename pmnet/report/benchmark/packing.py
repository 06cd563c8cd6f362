"""Packs the error files that `evaluate` writes into one small file; see `packed` for its layout."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import track
from pmnet.evaluation.error_table import KEY, METRICS, each_run, read_about
from pmnet.report.benchmark.packed import (
    HALVES,
    METADATA,
    equal_to,
    is_packed,
    load_packed,
    packed_name,
)
from pmnet.report.run_errors import FACTS, PROTOTYPES, RunErrors, RunFacts

LEVEL: Final = 19  # of zstd
LARGEST_K: Final = float(np.iinfo(np.int16).max)
LARGEST_MM: Final = float(np.iinfo(np.int16).max / HALVES)


class _Columns:
    """Columns by name; equal columns are kept once."""

    def __init__(self) -> None:
        self.arrays: dict[str, pa.Array] = {}
        self.same: dict[str, str] = {}
        self._first: dict[tuple[str, bytes], str] = {}

    def add(self, name: str, array: pa.Array) -> None:
        """Keep a column or, where an equal column is kept already, its name."""
        empty = array.is_null().to_numpy(zero_copy_only=False)
        content = array.fill_null(0).to_numpy().tobytes() + np.packbits(empty).tobytes()
        first = self._first.setdefault((str(array.type), content), name)
        if first == name:
            self.arrays[name] = array
        else:
            self.same[name] = first


@dataclass(frozen=True)
class Kept:
    """What is packed of the errors: some data sets, and `model` beside some inferences; None: all.

    An inference of one run alone is RUN:INFERENCE.
    """

    datasets: Sequence[str] | None = None
    inferences: Sequence[str] | None = None

    def of(self, errors: RunErrors, path: Path) -> RunErrors:
        """Return the errors that are kept; raises InputError where a data set is not in the file."""
        if self.datasets is not None:
            there = errors.datasets()
            if lacking := [name for name in self.datasets if name not in there]:
                raise InputError(
                    f"{path}: has no errors on {', '.join(lacking)}; --dataset takes "
                    f"{', '.join(there)}"
                )
            errors = errors.of_samples(np.any([there[name] for name in self.datasets], axis=0))
        if self.inferences is None:
            return errors
        runs = {
            run: replace(facts, inferences=tuple(self._inferences(run, facts)))
            for run, facts in errors.runs.items()
        }
        return replace(errors, runs=runs)

    def _inferences(self, run: str, facts: RunFacts) -> Iterator[str]:
        wanted = {"model", *(self.inferences or ())}
        return (name for name in facts.inferences if wanted & {name, f"{run}:{name}"})


EVERYTHING: Final = Kept()


def pack(paths: Sequence[Path], out: Path, kept: Kept = EVERYTHING) -> None:
    """Write the errors of some runs as one file for `load_packed`.

    Files that are packed already are packed again, seeds of a run together. Raises InputError, naming the
    file, for files that `read_errors` and `load_packed` refuse, for errors and prototypes that are too large,
    and for names of `kept` that no file has. Runs may differ in the selection of the prototype, not in the
    protocol.
    """
    columns, runs, samples = _Columns(), dict[str, Any](), None
    there = set[str]()
    for path, whole in _each_run(paths):
        for run, facts in whole.runs.items():
            there.update(facts.inferences, (f"{run}:{name}" for name in facts.inferences))
        errors = kept.of(whole, path)
        if samples is None:
            samples = errors.samples
        ((run, facts),) = errors.runs.items()
        if run in runs:
            raise InputError(f"{path}: run {run} is in another file too; give one of the two")
        if runs and facts.protocol != (first := next(iter(runs.values()))["protocol"]):
            raise InputError(
                f"{path}: protocol of {run} is {facts.protocol!r}, but {first!r} of the runs before; "
                "pack runs of one protocol"
            )
        runs[run] = asdict(facts)
        _add(columns, run, errors, _order(samples, errors, path), path)
    assert samples is not None
    if lacking := set(kept.inferences or ()) - there:
        raise InputError(
            f"--inference {' '.join(sorted(lacking))}: no run has it; they have "
            f"{' '.join(sorted(name for name in there if ':' not in name))}"
        )
    _write(samples, columns, runs, out)


def _each_run(paths: Sequence[Path]) -> Iterator[tuple[Path, RunErrors]]:
    """Yield the errors of one run after another, each with a file that they are from."""
    files = list(dict.fromkeys(paths))
    packed = [path for path in files if is_packed(path)]
    written = [path for path in files if path not in packed]
    if packed:
        errors = load_packed(packed)
        for run in track(list(errors.runs), "packing"):
            yield packed[0], errors.of_runs([run])
    if written or not packed:
        frames = track(each_run(written, ("protocol",)), "packing", len(written))
        for path, frame in zip(written, frames, strict=True):
            errors = RunErrors.of_rows(frame)
            runs = {run: _facts(facts, frame, path) for run, facts in errors.runs.items()}
            yield path, replace(errors, runs=runs)


def _order(samples: pd.DataFrame, errors: RunErrors, path: Path) -> np.ndarray:
    """Return the row of each sample among the samples of a run."""
    there = pd.MultiIndex.from_frame(errors.samples[KEY])
    places: np.ndarray = there.get_indexer(pd.MultiIndex.from_frame(samples[KEY]))
    if (places < 0).any() or len(there) != len(samples):
        here, others = (set(table["dataset"]) for table in (errors.samples, samples))
        raise InputError(
            f"{path}: has errors on {', '.join(sorted(here))}, the files before it on "
            f"{', '.join(sorted(others))}; pack runs of the same data sets"
        )
    return places


def _facts(facts: RunFacts, frame: pd.DataFrame, path: Path) -> RunFacts:
    """Return the facts of a run, with label, group and settings from the file's header."""
    if frame.groupby(["seed", "inference"]).ngroups != len(facts.seeds) * len(facts.inferences):
        raise InputError(f"{path}: an inference lacks a seed; evaluate that run again (dvc repro)")
    header = read_about(path, pq.read_schema(path))
    settings = "; ".join(f"{name} {value}" for name, value in header.set.items())
    return replace(facts, label=header.label, group=header.group, settings=settings)


def _add(columns: _Columns, run: str, errors: RunErrors, order: np.ndarray, path: Path) -> None:
    """Add the columns of one run, in the order of the samples."""
    facts = errors.runs[run]
    for seed in facts.seeds:
        for inference in facts.inferences:
            about, prefix = (run, seed, inference), f"{run}/{seed}/{inference}"
            for name in PROTOTYPES:
                numbers = errors.column(*about, name)[order]
                _refuse_above(LARGEST_K, numbers, name, path)
                columns.add(f"{prefix}/{name}", pa.array(numbers.astype(np.int16)))
            halves = {
                metric: _halves(errors.column(*about, metric)[order], metric, path)
                for metric in METRICS
            }
            for metric in METRICS:
                empty = np.isnan(halves[metric])
                if (equal := equal_to(inference)) in facts.inferences:
                    other = errors.column(run, seed, str(equal), metric)[order]
                    empty |= halves[metric] == _halves(other, metric, path)
                stored = halves[metric]
                if metric == "mpjpe_mm":
                    stored = stored - np.nan_to_num(halves["mpvpe_mm"])
                array = pa.array(np.nan_to_num(stored).astype(np.int16), mask=empty)
                columns.add(f"{prefix}/{packed_name(metric)}", array)


def _halves(errors: np.ndarray, metric: str, path: Path) -> np.ndarray:
    """Return errors in whole halves of a millimetre, as floats because some are NaN."""
    _refuse_above(LARGEST_MM, errors, metric, path)
    halves: np.ndarray = np.rint(errors * HALVES)
    return halves


def _refuse_above(largest: float, numbers: np.ndarray, name: str, path: Path) -> None:
    if np.nanmax(numbers, initial=0) > largest:
        raise InputError(
            f"{path}: {name} is {np.nanmax(numbers):g}, but packed errors hold up to {largest:g}; "
            "leave this run out"
        )


def _write(samples: pd.DataFrame, columns: _Columns, runs: dict[str, Any], out: Path) -> None:
    facts = pa.Table.from_pandas(samples, preserve_index=False)
    arrays = {name: facts[name] for name in FACTS} | columns.arrays
    about = {"unit": "halves of mm", "runs": runs, "same": columns.same}
    table = pa.table(arrays, metadata={METADATA: json.dumps(about)})
    with replacing(out) as partial:
        pq.write_table(
            table,
            partial,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=["dataset", "subject", "sequence"],
            column_encoding=dict.fromkeys(columns.arrays, "BYTE_STREAM_SPLIT"),
        )
