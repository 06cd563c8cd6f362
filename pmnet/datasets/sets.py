"""Which data sets train and which test: a list of files between ingestion and all that follows."""

import json
from collections.abc import Mapping
from pathlib import Path

from pmnet.datasets import Dataset
from pmnet.errors import InputError
from pmnet.files import replacing


def write_sets(datasets: Mapping[str, Dataset], split: str, out: Path) -> None:
    """Write the names of the data sets of a split, and where their samples and images are."""
    names = [name for name, entry in datasets.items() if entry.split == split]
    if not names:
        raise InputError(f"datasets: none has split {split!r}; give at least one")
    files = {
        kind: [f"data/{kind}/{split}/{name}.arrow" for name in names]
        for kind in ("samples", "images")
    }
    with replacing(out) as partial:
        partial.write_text(json.dumps(files, indent=2) + "\n")


def samples_of(sets: Path) -> list[Path]:
    """Return the files of samples that a list names."""
    return _files(sets, "samples")


def images_of(sets: Path) -> list[Path]:
    """Return the files of images that a list names."""
    return _files(sets, "images")


def _files(sets: Path, kind: str) -> list[Path]:
    try:
        return [Path(name) for name in json.loads(sets.read_text())[kind]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{sets}: not a list of data sets ({error}); run the sets stage") from None
