"""Reads the per-sample errors that `evaluate` writes, strictly: one parquet file per run.

A row is one sample under one inference and seed. All files must hold the same samples, so that runs are
compared in pairs. A data set with joints but without bodies (the test set of MPI-INF-3DHP) has neither
MPVPE nor distances, and no rows of the inferences that need the true body. `memory_seed` is the seed of
the clustering that made the memory of that training, -1 where the memory depends on none.

`pmnet score` writes such files for the predictions of other systems. They may have fewer data sets than the
runs beside them, but of each data set the same samples, measured in the same way.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special, replacing
from pmnet.core.header import read_header
from pmnet.core.ranges import Amount, Count, Weight
from pmnet.evaluation.phrases import of_dataset

METHODS: Final = ("single", "naive", "random", "3dh", "p3dh")
SCORED: Final = "scored"  # the method of predictions that another system wrote (`pmnet score`)
METRICS: Final = ("mpvpe_mm", "mpjpe_mm", "pa_mpjpe_mm")
# of a data set without bodies: the columns that are NaN, and the inferences without rows
OF_BODIES: Final = ("distance_to_mean_mm", "mpvpe_mm")
NEED_BODIES: Final = ("oracle", "assigned_prototype")
KEY: Final = ["dataset", "sample"]
NEIGHBOUR: Final = "neighbour_mm"  # column of a table of densities (`density`)
TEXTS: Final = ("run", "dataset", "subject", "sequence", "inference")
INTEGERS: Final = ("seed", "memory_seed", "sample", "assigned", "chosen")
ADDED: Final = {"subject", "memory_seed"}  # columns that earlier versions did not write
SCHEMA: Final = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in TEXTS]
    + [pa.field(name, pa.int64(), nullable=False) for name in INTEGERS]
    + [pa.field(name, pa.float64()) for name in ("distance_to_mean_mm", *METRICS)]
)
BYTES_PER_VALUE: Final = 8
SAME_DISTANCE_MM: Final = 0.1
CURE: Final = "evaluate that run again (dvc repro)"


@dataclass(frozen=True)
class ErrorsHeader:
    """The header of a file of errors: its memory, and how it was measured.

    Experiments (`pmnet sweep`) have a label, a group, and what they `set` differently. `predictions` says
    which file of another system was scored; the memory is then none.
    """

    space: str
    weights: str
    k: Count
    limb_weight: Weight
    max_iterations: Amount
    protocol: str
    selection: str
    label: str = ""
    group: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, Any] = field(default_factory=dict)


def read_errors(paths: Sequence[Path]) -> pd.DataFrame:
    """Return all rows, with `method`, `k`, `limb_weight`, `protocol`, `selection` and `label`.

    Extra metrics have columns of their own, NaN for runs without them.
    A path given twice is read once; all runs get the distances of the first file. Raises InputError,
    naming the file, where a file is missing, cut, foreign or holds a NaN, and where two files hold
    the same run, different samples or different protocols.
    """
    return pd.concat(each_run(paths, ("protocol", "selection")), ignore_index=True)


def each_run(paths: Sequence[Path], same: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of one run after another, in the columns of `read_errors`.

    `same` names the columns that must not differ between runs. Raises InputError as `read_errors` does.
    """
    files = list(dict.fromkeys(paths))
    if not files:
        raise InputError("no error files; name some with --errors runs/<run>/errors.parquet")
    reference = _reference(files)
    first, runs = _read_file(reference), dict[str, Path]()
    test_set, shared = _test_set(first), first.iloc[0]
    for path in files:
        frame = first if path == reference else _read_file(path)
        _match_samples(frame, test_set, path, reference)
        for column in same:
            if difference := _difference(column, frame, shared):
                raise InputError(
                    f"{path}: {column} is {difference[0]!r}, but {difference[1]!r} in {reference}; "
                    "evaluate both with the same params (dvc repro)"
                )
        run = frame["run"].iloc[0]
        if run in runs:
            raise InputError(f"{path}: run {run} is also in {runs[run]}; give one of the two")
        runs[run] = path
        yield frame


def _reference(files: Sequence[Path]) -> Path:
    """Return the file whose samples the others must have: the first that is no scored file, or the first."""
    for path in files if files[1:] else ():
        try:
            with open_parquet(path) as file:
                if not read_about(path, file.schema_arrow).predictions:
                    return path
        except (InputError, OSError, ValueError, pa.ArrowException):
            return path  # reading it says what is wrong
    return files[0]


def _difference(column: str, frame: pd.DataFrame, shared: pd.Series) -> tuple[str, str] | None:
    """Return two values of a column that must be equal and are not; of scored files, by data set."""
    here, there = str(frame[column].iloc[0]), str(shared[column])
    if SCORED in (frame["method"].iloc[0], shared["method"]):
        if column != "protocol":
            return None
        pairs = ((of_dataset(here, d), of_dataset(there, d)) for d in frame["dataset"].unique())
        return next((pair for pair in pairs if pair[0] != pair[1]), None)
    return (here, there) if here != there else None


def merge_errors(parts: Sequence[Path], out: Path, about: dict[str, Any]) -> None:
    """Write the rows of several files of one run, one per seed, as one file; `about` adds to its header."""
    tables = [_read_table(part) for part in parts]
    merged = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    header = dict(tables[0].schema.metadata or {})
    known = asdict(read_about(parts[0], tables[0].schema))
    header[b"pmnet.errors"] = json.dumps(known | about).encode()
    with replacing(out) as partial:
        pq.write_table(merged.replace_schema_metadata(header), partial, compression="zstd")


def open_parquet(path: Path) -> pq.ParquetFile:
    """Return an opened file of Parquet; raises OSError, ValueError or ArrowException for any other file.

    Raises InputError where it is not a file, or where its tables would take far more memory than it has
    bytes: Parquet keeps a billion equal values in a few.
    """
    refuse_special(path)
    file = pq.ParquetFile(path)
    held = file.metadata.num_rows * file.metadata.num_columns * BYTES_PER_VALUE
    if held > largest_content(path):
        raise InputError(f"{path}: stands for {held:,} bytes, far more than it has; {CURE}")
    return file


def _read_table(path: Path) -> pa.Table:
    try:
        with open_parquet(path) as file:
            return file.read()
    except (ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a file of errors, or cut short ({error}); {CURE}") from None


def _read_file(path: Path) -> pd.DataFrame:
    try:
        with open_parquet(path) as file:
            about = _about(path, file.schema_arrow)
            table = file.read()
        _refuse_earlier(table.schema, path)
        table.validate(full=True)  # texts of damaged bytes
        frame = table.select(SCHEMA.names).cast(SCHEMA).to_pandas()
        for name in _extra(table.schema):
            frame[name] = table[name].to_pandas()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of errors; {CURE}") from None
    except KeyError as error:
        raise InputError(f"{path}: not written by evaluate, {error} is missing; {CURE}") from None
    except (TypeError, ValueError, pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a file of errors, or cut short ({error}); {CURE}") from None
    runs = frame["run"].nunique()
    if runs != 1:
        raise InputError(f"{path}: expected the rows of one run, got {runs} runs; {CURE}")
    if (frame.groupby("seed")["memory_seed"].nunique() > 1).any():
        raise InputError(f"{path}: a seed was trained on memories of several clusterings; {CURE}")
    for dataset, rows in frame.groupby("dataset"):
        for column in ("distance_to_mean_mm", *METRICS):
            bad = int((~np.isfinite(rows[column])).sum())
            if bad and not (column in OF_BODIES and rows[column].isna().all()):
                raise InputError(
                    f"{path}: {column} of {dataset} is NaN or infinite in {bad} of {len(rows)} "
                    "rows, so the training diverged; lower train.learning_rate and run dvc repro"
                )
    return frame.assign(**about)


def _refuse_earlier(schema: pa.Schema, path: Path) -> None:
    lacking = [name for name in SCHEMA.names if name not in schema.names]
    if lacking and ADDED.issuperset(lacking):
        raise InputError(
            f"{path}: an earlier version wrote it, without the columns {', '.join(lacking)}; {CURE}"
        )


def _extra(schema: pa.Schema) -> list[str]:
    """Return the columns of extra metrics (`evaluate.extra`), which only some runs have."""
    return [f.name for f in schema if f.name not in SCHEMA.names and pa.types.is_floating(f.type)]


def read_about(path: Path, schema: pa.Schema) -> ErrorsHeader:
    """Return the header of a file of errors; raises InputError where a key is missing or wrong."""
    content = (schema.metadata or {}).get(b"pmnet.errors", b"null")
    header: ErrorsHeader = read_header(ErrorsHeader, content, path, "not written by evaluate", CURE)
    return header


def _about(path: Path, schema: pa.Schema) -> dict[str, Any]:
    header = read_about(path, schema)
    return {
        "method": _method(header),
        "k": header.k,
        "limb_weight": header.limb_weight,
        "protocol": header.protocol,
        "selection": header.selection,
        "label": header.label,
    }


def _method(about: ErrorsHeader) -> str:
    """Return which memory of Table II it is, or that it is none of them."""
    if about.predictions:
        return SCORED
    if about.k == 1:
        return "single"
    if about.space == "parameter":
        return "naive"
    if about.max_iterations == 0:
        return "random"
    return "3dh" if about.weights == "flat" else "p3dh"


def _test_set(first: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of a file by KEY, from its first seed and first inference with all data sets."""
    rows = first[~first["inference"].isin(NEED_BODIES)]
    rows = first if rows.empty else rows
    group = (rows[["seed", "inference"]] == rows[["seed", "inference"]].iloc[0]).all(axis=1)
    return rows[group].set_index(KEY)


def _match_samples(frame: pd.DataFrame, test_set: pd.DataFrame, file: Path, first: Path) -> None:
    """Refuse a run of other samples than the test set's; give the run the test set's distances."""
    if not test_set.index.is_unique:
        raise InputError(f"{first}: a sample is in it twice for one seed and inference; {CURE}")
    if frame["method"].iloc[0] == SCORED:
        scored = test_set.index.get_level_values("dataset").isin(frame["dataset"].unique())
        test_set = test_set[scored]
    rows = test_set.index.get_indexer(pd.MultiIndex.from_frame(frame[KEY]))
    repeats = frame.groupby(["seed", "inference"], sort=False).ngroup().to_numpy()
    known = test_set["distance_to_mean_mm"].to_numpy()[rows]
    need_bodies = frame["inference"].isin(NEED_BODIES).to_numpy()
    n_bodies = int(test_set["distance_to_mean_mm"].notna().sum())
    groups = pd.Series(need_bodies).groupby(repeats).first()
    same = (
        bool((rows >= 0).all())
        and len(frame) == groups.map({True: n_bodies, False: len(test_set)}).sum()
        and not np.isnan(known[need_bodies]).any()
        and len(np.unique(repeats * len(test_set) + rows)) == len(frame)
        and all(
            bool((test_set[name].to_numpy()[rows] == frame[name].to_numpy()).all())
            for name in ("subject", "sequence")
        )
        and np.allclose(known, frame["distance_to_mean_mm"], 0, SAME_DISTANCE_MM, equal_nan=True)
    )
    if not same:
        raise InputError(
            f"{file}: every seed and inference must hold the same samples, once each, as the "
            f"first of {first}; evaluate both runs again on the same test sets (dvc repro)"
        )
    frame["distance_to_mean_mm"] = known
