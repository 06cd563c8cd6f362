"""From per-sample errors to statistics: tails, distance bins, curves, and intervals by sequence.

All runs are measured on the same samples, and the samples of a sequence are not independent. So
errors are averaged over training seeds sample by sample, compared in pairs, and resampled by whole
sequences. An interval covers the choice of the test sequences, not that of the training seed.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.evaluation.error_table import KEY, METHODS, METRICS, OF_BODIES, read_errors, run_of
from pmnet.report.options import ReportOptions

__all__ = [
    "bootstrap_interval",
    "curves",
    "distance_bins",
    "headline",
    "interval_of",
    "over_seeds",
    "read_errors",
    "summary",
    "tail",
    "write_csv",
]
BLOCK: Final = 4_000_000  # numbers drawn at a time


def over_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return one row a sample of one run and inference: `column` averaged over the seeds."""
    means = rows.groupby(KEY, sort=False)[column].mean()
    about = rows.drop_duplicates(KEY).set_index(KEY)[["sequence", "distance_to_mean_mm"]]
    return about.assign(**{column: means}).reset_index()


def tail(frame: pd.DataFrame, percent: int) -> pd.DataFrame:
    """Return the rows of the `percent` % of samples of each data set farthest from the mean body.

    At least one sample each, ties by sample; a data set without distances has no tail (Table IV).
    """
    samples = frame.drop_duplicates(KEY).dropna(subset="distance_to_mean_mm")
    samples = samples.sort_values(["distance_to_mean_mm", "sample"], ascending=[False, True])
    by_dataset = samples.groupby("dataset")["sample"]
    size = (by_dataset.transform("size") * percent // 100).clip(lower=1)
    far = pd.MultiIndex.from_frame(samples.loc[by_dataset.cumcount() < size, KEY])
    return frame[pd.MultiIndex.from_frame(frame[KEY]).isin(far)]


def bootstrap_interval(
    values: NDArray[Any], sequences: NDArray[Any], draws: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `values`, whole sequences being redrawn.

    NaN for a single sequence, which tells nothing of others. Differences of pairs are values too.
    """
    codes, names = pd.factorize(np.asarray(sequences))
    if len(names) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(codes, values), np.bincount(codes).astype(float)
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(names))
    means = []
    for start in range(0, draws, rows):
        drawn = generator.integers(len(names), size=(min(rows, draws - start), len(names)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def interval_of(samples: pd.DataFrame, column: str, report: ReportOptions) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of a column that has one row a sample."""
    values, sequences = samples[column].to_numpy(), samples["sequence"].to_numpy()
    return bootstrap_interval(values, sequences, report.bootstrap, report.seed)


def distance_bins(frame: pd.DataFrame, bins: int) -> pd.Series:
    """Return the bin of each row, 0 the nearest; equal widths over a data set's distances."""
    by_dataset = frame.groupby("dataset")["distance_to_mean_mm"]
    nearest = by_dataset.transform("min")
    width = (by_dataset.transform("max") - nearest) / bins
    steps = (frame["distance_to_mean_mm"] - nearest) / width.where(width > 0, 1.0)
    return steps.astype(int).clip(upper=bins - 1).rename("bin")


def curves(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return error and reduction (mm) by run, data set and distance bin (Figs. 1(b) and 5).

    The single prototype comes first. `reduction_mm` is its error minus the run's on the same
    samples: positive is better. `low` and `high` bound `mpvpe_mm`, `reduction_low` and
    `reduction_high` bound `reduction_mm`. An empty bin keeps its row: n is 0, all else NaN.
    """
    model = frame[frame["inference"] == "model"].dropna(subset=list(OF_BODIES))
    if model.empty:
        raise InputError(
            "no test set has bodies (SMPL parameters), so there is no distance to draw errors by; "
            "give one that has (datasets in params.yaml)"
        )
    single = over_seeds(run_of(model, "single"), "mpvpe_mm")
    bins = distance_bins(single, report.bins)
    runs = model.drop_duplicates("run").assign(rank=lambda f: f["method"].map(METHODS.index))
    rows = []
    for run in runs.sort_values(["rank", "k", "limb_weight"], kind="stable")["run"]:
        samples = _reduction(single, model[model["run"] == run]).assign(bin=bins)
        for dataset, part in samples.groupby("dataset", sort=False):
            for number in range(report.bins):
                about = {"run": run, "dataset": dataset, "bin": number}
                rows.append(about | _bin(part[part["bin"] == number], report))
    return pd.DataFrame(rows)


def _reduction(single: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of `single`, in order, with error and reduction of another run."""
    other = over_seeds(rows, "mpvpe_mm")[[*KEY, "mpvpe_mm"]]
    both = single.merge(other, on=KEY, how="left", suffixes=("_single", ""))
    return both.assign(reduction_mm=both["mpvpe_mm_single"] - both["mpvpe_mm"])


def _bin(part: pd.DataFrame, report: ReportOptions) -> dict[str, float]:
    low, high = interval_of(part, "mpvpe_mm", report)
    reduction_low, reduction_high = interval_of(part, "reduction_mm", report)
    return {
        "distance_mm": part["distance_to_mean_mm"].mean(),
        "mpvpe_mm": part["mpvpe_mm"].mean(),
        "reduction_mm": part["reduction_mm"].mean(),
        "n": len(part),
        "low": low,
        "high": high,
        "reduction_low": reduction_low,
        "reduction_high": reduction_high,
    }


def summary(frame: pd.DataFrame, report: ReportOptions) -> dict[str, Any]:
    """Return the main numbers of the runs given, nested: what, data set, measure.

    Mean errors (mm) of each method and of the constant predictor, tails included; the gain of P3DH
    over the single prototype with its interval; the share of samples whose prototype is recognised.
    A data set without bodies has its joint errors only.
    """
    model = frame[frame["inference"] == "model"]
    methods = [method for method in METHODS if method in set(frame["method"])]
    p3dh = run_of(frame, "p3dh")
    found: dict[str, Any] = {m: _means(run_of(model, m), report) for m in methods}
    found["constant"] = _means(p3dh[p3dh["inference"] == "mean"], report)
    bodies = model.dropna(subset=list(OF_BODIES))
    found["gain"] = {}
    if not bodies.empty:
        single = over_seeds(run_of(bodies, "single"), "mpvpe_mm")
        gains = _reduction(single, run_of(bodies, "p3dh")).groupby("dataset", sort=False)
        found["gain"] = {key: _gain(part, report) for key, part in gains}
    chosen = bodies[bodies["method"] == "p3dh"]
    chosen = chosen.assign(right=chosen["assigned"] == chosen["chosen"])
    right = chosen.groupby("dataset", sort=False)["right"].mean()
    found["prototype_accuracy"] = {dataset: round(share, 4) for dataset, share in right.items()}
    return found


def headline(frame: pd.DataFrame, report: ReportOptions) -> dict[str, float]:
    """Return the six numbers that a change of parameters is judged by, over all test samples.

    Errors and gains in mm. The tail is the widest of `report.tails`. A number that the test sets
    cannot give is left out: without bodies there is no MPVPE.
    """
    model = frame[frame["inference"] == "model"]
    p3dh, single = run_of(model, "p3dh"), run_of(model, "single")
    found = {
        "p3dh_mpvpe_mm": p3dh["mpvpe_mm"].mean(),
        "p3dh_pa_mpjpe_mm": p3dh["pa_mpjpe_mm"].mean(),
        "single_mpvpe_mm": single["mpvpe_mm"].mean(),
    }
    bodies = p3dh.dropna(subset=list(OF_BODIES))
    gains = _reduction(over_seeds(single.dropna(subset=list(OF_BODIES)), "mpvpe_mm"), bodies)
    found["gain_mpvpe_mm"] = gains["reduction_mm"].mean()
    if report.tails:
        widest = max(report.tails)
        found[f"gain_tail_{widest}_mpvpe_mm"] = tail(gains, widest)["reduction_mm"].mean()
    numbers = {name: round(float(x), 2) for name, x in found.items() if np.isfinite(x)}
    if not bodies.empty:
        right = bodies["assigned"] == bodies["chosen"]
        numbers["prototype_accuracy"] = round(float(right.mean()), 4)
    return numbers


def _means(rows: pd.DataFrame, report: ReportOptions) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for dataset, part in rows.groupby("dataset", sort=False):
        means = {metric: part[metric].mean() for metric in METRICS}
        for percent in report.tails:
            means[f"tail_{percent}_mpvpe_mm"] = tail(part, percent)["mpvpe_mm"].mean()
        found[str(dataset)] = {name: round(x, 2) for name, x in means.items() if np.isfinite(x)}
    return found


def _gain(samples: pd.DataFrame, report: ReportOptions) -> dict[str, float]:
    found: dict[str, float] = {}
    subsets = {"": samples} | {f"tail_{x}_": tail(samples, x) for x in report.tails}
    for subset, part in subsets.items():
        low, high = interval_of(part, "reduction_mm", report)
        found[f"{subset}mpvpe_mm"] = part["reduction_mm"].mean()
        found[f"{subset}mpvpe_low_mm"], found[f"{subset}mpvpe_high_mm"] = low, high
    return {name: round(value, 2) for name, value in found.items() if np.isfinite(value)}


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all: two decimals, `value` as short as it goes, NaN empty."""
    texts = frame.copy()
    for name in frame.select_dtypes("float").columns:
        shape = "{:g}" if name == "value" else "{:.2f}"
        texts[name] = [shape.format(x + 0.0) if x == x else "" for x in frame[name].round(2)]
    with replacing(path) as partial:
        texts.to_csv(partial, index=False, lineterminator="\n")
