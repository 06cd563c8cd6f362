"""Metrics that tables of the field have beside the paper's: balanced errors, means per action and sequence.

Balanced errors (bMPVPE, bMPJPE, bPA-MPJPE) are those of the benchmark of Balanced MSE (Ren et al. 2022,
"IHMR"). They are comparable with published ones under the protocol `ihmr`, with distances to SPIN's mean body
(`evaluate.mean`).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from pmnet.evaluation.error_table import METRICS
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import balanced_bins, balanced_mean

COLUMNS: Final = ("run", "dataset", "metric", "rule", "group", "n", "value")
TAILS: Final = (10, 5)  # per cent
H36M: Final = re.compile(r"S\d+_(.+)")


def field_metrics(errors: RunErrors) -> pd.DataFrame:
    """Return a row per run, data set, metric, rule and group; seeds are averaged by sample.

    Values are in mm, those of `evaluate.extra` in their own units.

    `rule` is "balanced" (groups all, tail_10, tail_5; `n` of "all" is the number of bins that are not
    empty), "action" (Human3.6M) or "sequence"; the group "all" of the last two is the mean of the
    means of the groups.
    """
    rows: list[dict[str, Any]] = []
    for run in errors.runs:
        for dataset, where in errors.datasets().items():
            here = errors.of_samples(where)
            for metric in (*METRICS, *errors.extra):
                values = here.errors(run, "model", metric).mean(0)
                about = {"run": run, "dataset": dataset, "metric": metric.removesuffix("_mm")}
                if not np.isnan(values).all():
                    rows += [about | row for row in _rows(here.samples, values)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(samples: pd.DataFrame, values: Float[np.ndarray, "n"]) -> Iterator[dict[str, Any]]:
    distances = samples["distance_to_mean_mm"].to_numpy()
    if not np.isnan(distances).any():
        bins = balanced_bins(distances)
        balanced = {"n": len(np.unique(bins)), "value": balanced_mean(values[None], bins)}
        yield {"rule": "balanced", "group": "all", **balanced}
        for percent in TAILS:
            if (size := len(values) * percent // 100) > 0:
                mean = float(values[farthest(distances, percent)].mean())
                yield {"rule": "balanced", "group": f"tail_{percent}", "n": size, "value": mean}
    sequences = samples["sequence"].astype(str)
    actions = sequences.map(action_of)
    for rule, groups in (("action", actions), ("sequence", sequences)):
        if groups.notna().all():
            yield from _grouped(rule, groups, values)


def _grouped(
    rule: str, groups: pd.Series, values: Float[np.ndarray, "n"]
) -> Iterator[dict[str, Any]]:
    by_group = pd.Series(values).groupby(groups.to_numpy())
    means, sizes = by_group.mean(), by_group.size()
    yield {"rule": rule, "group": "all", "n": len(means), "value": float(means.mean())}
    for group, n, mean in zip(means.index, sizes, means, strict=True):
        yield {"rule": rule, "group": group, "n": int(n), "value": float(mean)}


def action_of(sequence: str) -> str | None:
    """Return the action of a clip of Human3.6M ("Walking" of "S9_Walking_1"); None for other clips."""
    match = H36M.fullmatch(sequence)
    return re.sub(r"(_subact)?_\d+$", "", match[1]) if match else None


def farthest(distances: Float[np.ndarray, "n"], percent: int) -> Int[np.ndarray, "m"]:
    """Return the samples farthest from the mean body: the first N percent / 100 of the reversed order."""
    order: Int[np.ndarray, "m"] = np.argsort(distances, kind="stable")[::-1]
    return order[: len(distances) * percent // 100]
