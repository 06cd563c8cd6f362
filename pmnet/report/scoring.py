"""`pmnet score`: a file of predictions against the samples of a data set, and the lines to print."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pandas as pd

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.stage import PARAMS
from pmnet.data.names import check_name
from pmnet.evaluation.evaluator import CHOSEN, write_errors
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.predictions.project import (
    MeasuredSet,
    header_of,
    measured_set,
    scorer_of,
)
from pmnet.evaluation.predictions.reading import Beside, read_predictions
from pmnet.evaluation.predictions.scoring import Reading, Scored
from pmnet.evaluation.predictions.spread import spread
from pmnet.evaluation.protocols import Protocol, parse_protocol, protocol_of
from pmnet.report import scored as printing
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors

BODY: Final = Path("data/body.npz")
ALL: Final = "all"
SPREAD: Final = ("mpvpe_mm", "mpjpe_mm", "pa_mpjpe_mm")


@dataclass(frozen=True)
class ScoreRequest:
    """What the user asks `pmnet score` for; what is None comes from params.yaml."""

    predictions: Path
    dataset: str | None
    samples: Path | None
    name: str | None
    protocol: str | None
    beside: Beside
    reading: Reading
    body: Path | None
    mean: Path | None
    memory: Path | None


def score_file(
    request: ScoreRequest, out: Path | None, against: Sequence[Path], tails: Sequence[int]
) -> Iterator[str]:
    """Score a file, write its errors to `out`, and yield the lines to print.

    Raises InputError where settings, samples and predictions do not belong together.
    """
    options = params.load(PARAMS, "evaluate", Evaluate, {})
    report = params.load(PARAMS, "report", ReportOptions, {})
    report = replace(report, tails=list(dict.fromkeys(tails))) if tails else report
    truth = _truth(request)
    own = truth.samples.about.dataset
    bound = _bind(request, truth, options)
    yield f"{request.predictions}: {len(bound.joined.rows)} samples of {own}, joined by {bound.joined.how}"
    if request.protocol == ALL:
        yield from _spread_lines(spread(bound))
    name = check_name(request.name or request.predictions.stem, "--name")
    errors = bound.errors().assign(run=name)
    header = header_of(name, name, {own: bound}, options)
    with tempfile.TemporaryDirectory() as folder:
        file = out or Path(folder) / "errors.parquet"
        write_errors(errors, header, file)
        measured = RunErrors.read([file])
        yield from _lines(measured, name, report)
        if against:
            yield from _gain_lines(RunErrors.read([*against, file]), name, report)
    if out is not None:
        yield f"{len(errors)} rows -> {out}"


def _truth(request: ScoreRequest) -> MeasuredSet:
    """Return the samples that are scored, from --samples or from a data set of params.yaml."""
    if (request.samples is None) == (request.dataset is None):
        raise InputError("give either --dataset NAME (of params.yaml) or --samples FILE (.arrow)")
    if request.samples is not None:
        return measured_set(request.samples, None)
    datasets = params.read(PARAMS, "datasets")
    if request.dataset not in datasets:
        raise InputError(f"--dataset {request.dataset}: {PARAMS} has {', '.join(datasets)}")
    split = params.read(PARAMS, f"datasets.{request.dataset}.split")
    place = Path(f"{split}/{request.dataset}.arrow")
    return measured_set("data/samples" / place, "data/images" / place)


def _bind(request: ScoreRequest, truth: MeasuredSet, options: Evaluate) -> Scored:
    mean, where = Path(options.mean), f"{PARAMS}: evaluate.mean"
    if request.mean is not None:
        mean, where = request.mean, "--mean"
    scorer = scorer_of(request.body or BODY, mean, where, options, request.memory)
    predictions = read_predictions(request.predictions, request.beside)
    protocol = _protocol(request, truth, options)
    return scorer.bind(
        predictions, truth.samples, truth.seen, protocol, truth.file, request.reading
    )


def _protocol(request: ScoreRequest, truth: MeasuredSet, options: Evaluate) -> Protocol:
    if request.protocol in (None, ALL):
        return protocol_of(truth.samples.about.dataset, options.protocols, CHOSEN)
    return parse_protocol(request.protocol, "--protocol")


def _lines(measured: RunErrors, name: str, report: ReportOptions) -> Iterator[str]:
    yield f"protocol: {measured.runs[name].protocol}"
    yield "\nmeans [95 % interval]; tails are the samples farthest from the mean body"
    table = printing.means(measured, name, report)
    for _, rows in table.groupby(["dataset", "subset"], sort=False):
        dataset, subset = rows["dataset"].iloc[0], rows["subset"].iloc[0]
        cells = [
            f"{row['metric'].upper().replace('_', '-')} {row['mean']:.1f}{_bounds(row)}"
            for _, row in rows.iterrows()
        ]
        yield f"  {dataset}, {subset} (n = {rows['n'].iloc[0]:,}): {', '.join(cells)}"
    redrawn = " or ".join(dict.fromkeys(filter(None, table["interval"])))
    yield f"  intervals redraw {redrawn}" if redrawn else "  no intervals: a single clip"
    balanced = printing.balanced(measured, name)
    if len(balanced):
        yield "\nbalanced errors (IHMR: mean over the filled ones of 100 bins of distance; plain in tails)"
        for _, rows in balanced.groupby(["dataset", "group"], sort=False):
            dataset, group = rows["dataset"].iloc[0], rows["group"].iloc[0]
            what = "bins" if group == "all" else "samples"
            cells = [
                f"{_balanced(m)} {v:.2f}"
                for m, v in zip(rows["metric"], rows["value"], strict=True)
            ]
            yield f"  {dataset}, {group} ({rows['n'].iloc[0]} {what}): {', '.join(cells)}"
    deciles = printing.by_decile(measured, name)
    if len(deciles):
        yield "\nMPVPE by tenths of the samples, nearest to the mean body first"
        for _, rows in deciles.groupby("dataset", sort=False):
            yield f"  {rows['dataset'].iloc[0]}: {' '.join(f'{value:.1f}' for value in rows['mpvpe_mm'])}"


def _bounds(row: pd.Series) -> str:
    return "" if pd.isna(row["low"]) else f" [{row['low']:.1f}, {row['high']:.1f}]"


def _balanced(metric: str) -> str:
    return "b" + metric[1:].upper().replace("_", "-")


def _gain_lines(errors: RunErrors, name: str, report: ReportOptions) -> Iterator[str]:
    others = [run for run in errors.runs if run != name]
    yield "\npaired by sample with other runs"
    for line in printing.gains_in_words(printing.gains(errors, name, others, report)):
        yield f"  {line}"


def _spread_lines(table: pd.DataFrame) -> Iterator[str]:
    """Yield the means under each protocol, and how far they lie apart."""
    yield "\none file, every protocol (mm)"
    yield table.to_string(index=False, float_format=lambda number: f"{number:.1f}")
    for metric in SPREAD:
        known = table.dropna(subset=[metric])
        if len(known):
            order = known.sort_values(metric)
            low, high = order.iloc[0], order.iloc[-1]
            yield (
                f"  {metric.removesuffix('_mm').upper().replace('_', '-')}: from {low[metric]:.1f} "
                f"({_called(low)}) to {high[metric]:.1f} ({_called(high)}): "
                f"{high[metric] - low[metric]:.1f} mm apart"
            )
    yield ""


def _called(row: pd.Series) -> str:
    return row["protocol"] or f"{row['alignment']}, {row['genders']}"
