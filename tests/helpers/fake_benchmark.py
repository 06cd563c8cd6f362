"""A small benchmark: the five memories, two sweeps, controls, as files of errors and packed."""

from pathlib import Path
from typing import Any

import fake_errors
import pandas as pd

from pmnet.evaluation.error_table import METRICS, NEED_BODIES
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.benchmark.packing import pack
from pmnet.report.run_errors import ABOUT, PROTOTYPES, RunErrors

SWEEPS: dict[str, dict[str, Any]] = {
    "p3dh_k10_l5.0": {"k": 10},
    "p3dh_k100_l5.0": {"k": 100},
    "p3dh_k50_l1.0": {"limb_weight": 1.0},
}
# run -> how its file differs from that of P3DH, its gain per mm of distance, its seeds
CONTROLS: dict[str, tuple[dict[str, Any], float, int]] = {
    "single_ce": ({"k": 1}, 0.01, 2),
    "p3dh_ramp": (
        {"selection": "soft", "label": "Ramp", "group": "beyond", "set": {"start": "scheduled"}},
        0.10,
        1,
    ),
}


def rows_of(run: str, gain: float, **shape: Any) -> pd.DataFrame:
    """The rows of a run of the benchmark, `soft` among them."""
    rows = fake_errors.frame_of(run, gain, **shape)
    soft = rows[rows["inference"] == "model"].assign(inference="soft")
    soft["mpvpe_mm"] -= 2
    return pd.concat([rows, soft], ignore_index=True)


def write_benchmark(folder: Path, **shape: Any) -> list[Path]:
    """Write the files of errors of all runs."""
    runs = {run: (about, gain, 2) for run, (about, gain) in fake_errors.RUNS.items()}
    runs |= {run: (about, 0.06, 1) for run, about in SWEEPS.items()} | CONTROLS
    return [
        fake_errors.write(
            folder / run / "errors.parquet", rows_of(run, gain, seeds=seeds, **shape), **about
        )
        for run, (about, gain, seeds) in runs.items()
    ]


def packed_benchmark(folder: Path, **shape: Any) -> RunErrors:
    """Return the benchmark as two packed files: the graph's runs, the others."""
    paths = write_benchmark(folder / "runs", **shape)
    controls = [path for path in paths if path.parent.name in CONTROLS]
    pack([path for path in paths if path not in controls], folder / "errors.parquet")
    pack(controls, folder / "errors_controls.parquet")
    return load_packed([folder / "errors.parquet", folder / "errors_controls.parquet"])


def to_rows(errors: RunErrors) -> pd.DataFrame:
    """Return the errors of all runs as rows of `read_errors`."""
    parts = []
    for run, facts in errors.runs.items():
        about = {name: getattr(facts, name) for name in ABOUT}
        for seed, memory in facts.memory_of_seed().items():
            for inference in facts.inferences:
                names = (*PROTOTYPES, *METRICS)
                numbers = {name: errors.column(run, seed, inference, name) for name in names}
                rows = errors.samples.assign(run=run, seed=seed, inference=inference, **numbers)
                rows["memory_seed"] = memory
                if inference in NEED_BODIES:
                    rows = rows.dropna(subset="distance_to_mean_mm")
                parts.append(rows.assign(**about))
    return pd.concat(parts, ignore_index=True)
