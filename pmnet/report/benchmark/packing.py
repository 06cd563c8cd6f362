"""Error files of runs, as `evaluate` writes them, into one small file; see `packed` for its layout."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import track
from pmnet.evaluation.error_table import KEY, METRICS, each_run
from pmnet.report.benchmark.packed import (
    ABOUT,
    FACTS,
    METADATA,
    PROTOTYPES,
    TENTHS,
    RunFacts,
    equal_to,
    packed_name,
)

LEVEL: Final = 19  # of zstd
LARGEST_K: Final = float(np.iinfo(np.int16).max)
LARGEST_MM: Final = float(np.iinfo(np.uint16).max / TENTHS)


class _Columns:
    """Columns by name, each content once."""

    def __init__(self) -> None:
        self.arrays: dict[str, pa.Array] = {}
        self.same: dict[str, str] = {}
        self._first: dict[tuple[str, bytes], str] = {}

    def add(self, name: str, array: pa.Array) -> None:
        """Keep a column, or the name of an equal one."""
        empty = array.is_null().to_numpy(zero_copy_only=False)
        content = array.fill_null(0).to_numpy().tobytes() + np.packbits(empty).tobytes()
        first = self._first.setdefault((str(array.type), content), name)
        if first == name:
            self.arrays[name] = array
        else:
            self.same[name] = first


def pack(paths: Sequence[Path], out: Path) -> None:
    """Write the errors of some runs as one file for `Packed.load`.

    Raises InputError, naming the file, for files that `read_errors` refuses, and for errors and
    prototypes that are too large; runs may differ in the selection of the prototype, not in the protocol.
    """
    columns, runs, samples = _Columns(), dict[str, Any](), None
    frames = each_run(paths, ("protocol",))
    for path, frame in zip(
        dict.fromkeys(paths), track(frames, "packing", len(set(paths))), strict=True
    ):
        if samples is None:
            samples = _samples(frame)
        for seed, rows in frame.groupby("seed", sort=False):
            _add(columns, f"{frame['run'].iloc[0]}/{seed}", rows, samples, path)
        runs[frame["run"].iloc[0]] = asdict(_facts(frame, path))
    assert samples is not None
    _write(samples, columns, runs, out)


def _samples(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sample."""
    return frame.drop_duplicates(KEY)[FACTS].reset_index(drop=True)


def _facts(frame: pd.DataFrame, path: Path) -> RunFacts:
    seeds, inferences = frame["seed"].unique(), frame["inference"].unique()
    if frame.groupby(["seed", "inference"]).ngroups != len(seeds) * len(inferences):
        raise InputError(f"{path}: an inference lacks a seed; evaluate that run again (dvc repro)")
    about: dict[str, Any] = {name: frame[name].iloc[0] for name in ABOUT}
    about |= {"k": int(about["k"]), "limb_weight": float(about["limb_weight"])}
    said = json.loads(pq.read_schema(path).metadata[b"pmnet.errors"])
    settings = "; ".join(f"{name} {value}" for name, value in said.get("set", {}).items())
    about |= {name: said.get(name, "") for name in ("label", "group")} | {"settings": settings}
    return RunFacts(**about, seeds=tuple(map(int, seeds)), inferences=tuple(inferences))


def _add(
    columns: _Columns, prefix: str, rows: pd.DataFrame, samples: pd.DataFrame, path: Path
) -> None:
    """Keep the columns of one run and seed, in the order of the samples."""
    order = pd.MultiIndex.from_frame(samples[KEY])
    parts = {
        str(inference): part.set_index(KEY).reindex(order)
        for inference, part in rows.groupby("inference", sort=False)
    }
    for inference, part in parts.items():
        for name in PROTOTYPES:
            numbers = _refused_above(LARGEST_K, part[name].fillna(-1).to_numpy(), name, path)
            columns.add(f"{prefix}/{inference}/{name}", pa.array(numbers.astype(np.int16)))
        for metric in METRICS:
            tenths = _tenths(part, metric, path)
            empty = np.isnan(tenths)
            if (equal := parts.get(equal_to(inference) or "")) is not None:
                empty |= tenths == _tenths(equal, metric, path)
            array = pa.array(np.nan_to_num(tenths).astype(np.uint16), mask=empty)
            columns.add(f"{prefix}/{inference}/{packed_name(metric)}", array)


def _tenths(rows: pd.DataFrame, metric: str, path: Path) -> np.ndarray:
    """Return errors in whole tenths of a millimetre, as floats, for the sake of NaN."""
    return np.rint(_refused_above(LARGEST_MM, rows[metric].to_numpy(), metric, path) * TENTHS)


def _refused_above(largest: float, numbers: np.ndarray, name: str, path: Path) -> np.ndarray:
    if np.nanmax(numbers, initial=0) > largest:
        raise InputError(
            f"{path}: {name} is {np.nanmax(numbers):g}, but packed errors hold up to {largest:g}; "
            "leave this run out"
        )
    return numbers


def _write(samples: pd.DataFrame, columns: _Columns, runs: dict[str, Any], out: Path) -> None:
    facts = pa.Table.from_pandas(samples, preserve_index=False)
    arrays = {name: facts[name] for name in FACTS} | columns.arrays
    about = {"unit": "tenths of mm", "runs": runs, "same": columns.same}
    table = pa.table(arrays, metadata={METADATA: json.dumps(about)})
    with replacing(out) as partial:
        pq.write_table(
            table,
            partial,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=["dataset", "sequence"],
            column_encoding=dict.fromkeys(columns.arrays, "BYTE_STREAM_SPLIT"),
        )
