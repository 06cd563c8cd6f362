"""Rows of errors by hand."""

import pandas as pd


def rows_of(distances: list[float], dataset: str = "cmu", **columns: object) -> pd.DataFrame:
    """Return rows of one run, seed and inference, by their distances."""
    rows = pd.DataFrame({"distance_to_mean_mm": distances}, dtype=float)
    rows = rows.assign(dataset=dataset, sample=range(len(rows)), run="p3dh_k50_l5.0", seed=0)
    rows = rows.assign(memory_seed=0, subject=[f"p{i // 2}" for i in range(len(rows))])
    rows = rows.assign(inference="model", assigned=0, chosen=0, mpvpe_mm=1.0, mpjpe_mm=1.0)
    return rows.assign(pa_mpjpe_mm=1.0, sequence=[f"s{i}" for i in range(len(rows))], **columns)
