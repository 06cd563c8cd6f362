"""Small files of errors as `evaluate` would write them, with a gain that grows with distance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pmnet.evaluation.error_table import METRICS, NEED_BODIES, OF_BODIES

ABOUT = {
    "space": "vertex",
    "weights": "parts",
    "k": 50,
    "limb_weight": 5.0,
    "max_iterations": 50,
    "protocol": "alignment pelvis, 24 SMPL joints, neutral body",
    "selection": "hard",
}
# run -> how it differs from P3DH, and its gain per mm of distance
RUNS: dict[str, tuple[dict[str, Any], float]] = {
    "single": ({"k": 1}, 0.0),
    "naive_k50": ({"space": "parameter"}, 0.01),
    "random_k50": ({"max_iterations": 0}, 0.03),
    "3dh_k50": ({"weights": "flat"}, 0.06),
    "p3dh_k50_l5.0": ({}, 0.08),
}
INFERENCES = {
    "model": 0.0,
    "oracle": -15.0,
    "chosen_prototype": 60.0,
    "assigned_prototype": 40.0,
    "mean": 150.0,
}


def frame_of(
    run: str,
    gain: float,
    datasets: Sequence[str] = ("cmu",),
    samples: int = 200,
    seeds: int = 2,
) -> pd.DataFrame:
    """Return the rows of one run; five samples a sequence, two sequences a subject."""
    parts = []
    for number, dataset in enumerate(datasets):
        distance = np.random.default_rng(number).gamma(4.0, 60.0, samples) + 80
        for seed in range(seeds):
            noise = np.random.default_rng([number, seed, len(run)]).normal(0, 8, samples)
            for inference, extra in INFERENCES.items():
                error = 40 + (0.25 - gain) * distance + extra + noise * (inference == "model")
                part = pd.DataFrame({"sample": np.arange(samples), "distance_to_mean_mm": distance})
                part = part.assign(run=run, seed=seed, dataset=dataset, inference=inference)
                part["memory_seed"] = -1 if run.startswith("single") else 0
                part["subject"] = [f"person_{row // 10}" for row in range(samples)]
                part["sequence"] = [f"clip_{row // 5}" for row in range(samples)]
                part["assigned"] = np.arange(samples) % 50
                part["chosen"] = np.where(np.arange(samples) % 4 == 0, 0, part["assigned"])
                scales = zip(METRICS, (1.0, 0.85, 0.6), strict=True)
                parts.append(part.assign(**{metric: error * scale for metric, scale in scales}))
    return pd.concat(parts, ignore_index=True)


def without_bodies(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return the rows as they are where a data set has joints but no bodies."""
    lacking = rows["dataset"] == dataset
    kept = rows[~lacking | ~rows["inference"].isin(NEED_BODIES)].reset_index(drop=True)
    lacking = kept["dataset"] == dataset
    kept.loc[lacking, list(OF_BODIES)] = float("nan")
    kept.loc[lacking, "assigned"] = -1
    return kept


def write(path: Path, frame: pd.DataFrame, **about: Any) -> Path:
    """Write rows as a file of errors of P3DH, or of what differs from it."""
    run = frame["run"].iloc[0] if len(frame) else "none"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    header = json.dumps({"run": run} | ABOUT | about)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"pmnet.errors": header}), path)
    return path


def write_runs(folder: Path, bodiless: str = "", **shape: Any) -> list[Path]:
    """Write the five runs of Table II; the data set `bodiless` has no bodies."""
    paths = []
    for run, (about, gain) in RUNS.items():
        rows = without_bodies(frame_of(run, gain, **shape), bodiless)
        paths.append(write(folder / run / "errors.parquet", rows, **about))
    return paths


def write_sweep(folder: Path, column: str, values: Sequence[float], **shape: Any) -> list[Path]:
    """Write runs of P3DH that differ in `k` or `limb_weight`."""
    paths = []
    bodiless = shape.pop("bodiless", "")
    for value in values:
        run = f"p3dh_{column}_{value}"
        frame = without_bodies(frame_of(run, 0.05 + 0.01 * (value == 50), **shape), bodiless)
        paths.append(write(folder / run / "errors.parquet", frame, **{column: value}))
    return paths
