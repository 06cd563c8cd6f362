"""A comparator of the graph: a folder of predictions, one file per test set, scored as the runs are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS
from pmnet.data.names import check_key
from pmnet.evaluation.evaluator import CHOSEN, write_errors
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.predictions.content import SUFFIXES
from pmnet.evaluation.predictions.options import Comparator
from pmnet.evaluation.predictions.project import MeasuredSet, header_of
from pmnet.evaluation.predictions.reading import Beside, read_predictions
from pmnet.evaluation.predictions.scoring import Reading, Scored, Scorer
from pmnet.evaluation.protocols import protocol_of

NAMES: Final = (".names.npz", ".names.txt")
MAPPING: Final = "mapping.npz"
TRIANGLES: Final = ("triangles.npy", "triangles.npz")


@dataclass
class _Folder:
    """What lies in the folder of a comparator, by data set."""

    predictions: dict[str, Path] = field(default_factory=dict)
    names: dict[str, Path] = field(default_factory=dict)
    mapping: Path | None = None
    triangles: Path | None = None

    def beside(self, dataset: str) -> Beside:
        return Beside(self.names.get(dataset), self.mapping, self.triangles)


def compare(
    name: str,
    comparator: Comparator,
    sets: Mapping[str, MeasuredSet],
    scorer: Scorer,
    options: Evaluate,
    out: Path,
) -> None:
    """Write the errors of a comparator on all test sets that its folder has predictions of.

    Raises InputError for a folder without any, for files of no test set, and for predictions that cannot be
    right.
    """
    check_key(name, f"{PARAMS}: comparators")
    where = f"{PARAMS}: comparators.{name}"
    folder = _folder(comparator.source, list(sets), where)
    reading = Reading(
        None if comparator.use == "first" else comparator.use,
        comparator.turn,
        comparator.trust_order,
    )
    scored: dict[str, Scored] = {}
    for dataset, file in folder.predictions.items():
        own = sets[dataset]
        predictions = read_predictions(file, folder.beside(dataset))
        protocol = protocol_of(dataset, options.protocols, CHOSEN)
        scored[dataset] = scorer.bind(
            predictions, own.samples, own.seen, protocol, own.file, reading
        )
    frames = [one.errors() for one in scored.values()]
    errors = pd.concat(frames, ignore_index=True).assign(run=name)
    write_errors(errors, header_of(name, comparator.label, scored, options), out)
    say(f"{name}: errors of {len(errors)} predictions on {', '.join(scored)} -> {out}")


def _folder(source: Path, datasets: list[str], where: str) -> _Folder:
    if not source.is_dir():
        raise InputError(
            f"{where}.source: {source} is no folder; expected one with a file of predictions per test set, "
            f"such as {datasets[0]}.npz"
        )
    found = _Folder()
    for path in sorted(path for path in source.iterdir() if not path.name.startswith(".")):
        dataset = path.name.split(".")[0]
        if path.name == MAPPING:
            found.mapping = path
        elif path.name in TRIANGLES:
            found.triangles = path
        elif path.name.endswith(NAMES) and dataset in datasets:
            _refuse_second(path, found.names.get(dataset), dataset)
            found.names[dataset] = path
        elif dataset in datasets and (path.is_dir() or path.suffix in SUFFIXES):
            _refuse_second(path, found.predictions.get(dataset), dataset)
            found.predictions[dataset] = path
        elif path.suffix not in (".md", ".dvc"):
            raise InputError(
                f"{path}: is of no test set; expected the names {', '.join(datasets)} with one of "
                f"{', '.join(SUFFIXES)} (and NAME.names.npz, {MAPPING}, {TRIANGLES[0]}); rename or move it"
            )
    if not found.predictions:
        raise InputError(f"{where}.source: {source} has no predictions of {', '.join(datasets)}")
    return found


def _refuse_second(path: Path, first: Path | None, dataset: str) -> None:
    if first is not None:
        raise InputError(f"{path}: {first.name} is of {dataset} too; keep one of the two")
