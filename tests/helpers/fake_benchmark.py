"""A small benchmark: the five memories, two sweeps, controls, as files of errors and packed."""

from pathlib import Path
from typing import Any

import fake_errors
import pandas as pd

from pmnet.report.benchmark.packed import Packed
from pmnet.report.benchmark.packing import pack

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


def packed_benchmark(folder: Path, **shape: Any) -> Packed:
    """Return the benchmark as two packed files: the graph's runs, the others."""
    paths = write_benchmark(folder / "runs", **shape)
    controls = [path for path in paths if path.parent.name in CONTROLS]
    pack([path for path in paths if path not in controls], folder / "errors.parquet")
    pack(controls, folder / "errors_controls.parquet")
    return Packed.load([folder / "errors.parquet", folder / "errors_controls.parquet"])
