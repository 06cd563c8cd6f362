"""From folders of recordings to folders of motions, for the stage `fit` and for the adapters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
import torch

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.datasets._recordings.people import prior_and_people
from pmnet.datasets._shared.discovery import files_below
from pmnet.fitting.files import FEWEST_LABELS
from pmnet.fitting.joint_sets import known_joints
from pmnet.fitting.joints_csv import labels_of_columns
from pmnet.fitting.markers import TABLE, read_table
from pmnet.fitting.options import fit_options
from pmnet.fitting.recordings import (
    FitSettings,
    Knowledge,
    fit_recordings,
    hash_of,
    recordings_of,
)
from pmnet.formats.npz import npz_keys

Unit = Literal["", "m", "cm", "mm"]
Up = Literal["auto", "x", "y", "z", "-x", "-y", "-z"]
ENDINGS: Final = {
    "c3d": (".c3d", ".C3D"),
    "trc": (".trc", ".TRC"),
    "joints": (".npz", ".csv"),
}


@dataclass(frozen=True)
class RecordingFit:
    """How recordings are fitted.

    `fit` changes values of pmnet/fitting/defaults.yaml; `markers` is a table of labels beside the known ones
    (null: none); `poses` are samples that the pose prior is learnt from (null: families of actions); `unit`
    overrules the files' ("": it does not); `up` is the axis of the files that is up.
    """

    fit: dict[str, Any]
    markers: Path | None
    poses: Path | None
    unit: Unit
    up: Up


def find_recordings(adapter: str, source: Path, broken: bool = True) -> list[Path]:
    """Return the recordings of one kind below a folder, or the one file.

    Foreign .npz and .csv are left out, and those that cannot be read unless `broken` asks for them.
    """
    files = list(files_below(source, *ENDINGS[adapter]))
    if adapter != "joints" or source.is_file():
        return files
    return [file for file in files if _holds_joints(file, broken)]


def _holds_joints(file: Path, broken: bool) -> bool:
    if file.suffix == ".npz":
        keys = npz_keys(file)
        holds = "poses" not in keys and ({"markers", "labels"} <= keys or "joints" in keys)
        return holds if keys else broken
    try:
        columns = pd.read_csv(file, nrows=0).columns
    except (OSError, ValueError):
        return broken
    return len(known_joints(list(labels_of_columns(columns)))) >= FEWEST_LABELS


def fit_below(
    adapter: str,
    source: Path,
    options: RecordingFit,
    body: BodyModel,
    out: Path,
    where: str,
    device: torch.device | None = None,
) -> list[Path]:
    """Fit the recordings of one kind below a folder into `out`, and return the files of motions.

    What an interrupted call has fitted is not fitted again. `where` names the options in errors. Raises
    InputError where there is no recording, or naming the file or the option that is wrong.
    """
    files = find_recordings(adapter, source)
    if not files:
        raise InputError(
            f"{source}: no recording below it; expected files that end in "
            f"{' or '.join(ENDINGS[adapter])}, in a folder per subject"
        )
    settings = FitSettings(fit_options(options.fit, f"{where}.fit"), options.unit, options.up)
    beside = [path for path in (options.markers, options.poses) if path is not None]
    return fit_recordings(
        recordings_of(source, files),
        out,
        settings,
        lambda: knowledge(options, body, device),
        [body.sha256, *map(hash_of, beside)],
    )


def fit_any_below(
    source: Path,
    out: Path,
    settings: FitSettings,
    learn: Callable[[], Knowledge],
    sources: Sequence[str],
) -> list[Path]:
    """Fit the recordings of all kinds below a folder; see `fit_recordings`."""
    files = [file for adapter in ENDINGS for file in find_recordings(adapter, source)]
    if not files:
        endings = ", ".join(ending for ending in sum(ENDINGS.values(), ()) if ending.islower())
        raise InputError(f"{source}: no recording below it; expected files that end in {endings}")
    return fit_recordings(recordings_of(source, files), out, settings, learn, sources)


def knowledge(
    options: RecordingFit, body: BodyModel, device: torch.device | None = None
) -> Knowledge:
    """Return what fits start from, on a device."""
    on = device or torch.device("cpu")
    table = {**read_table(TABLE), **(read_table(options.markers) if options.markers else {})}
    prior, people = prior_and_people(options.poses, body)
    return Knowledge(body.to(on), prior.to(on), people.to(on), table)
