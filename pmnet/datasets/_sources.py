"""Where the files of an entry lie: `source` is the file of annotations, or a folder that it is in."""

import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from pmnet.datasets._arrays import array
from pmnet.datasets._rows import Rows
from pmnet.errors import InputError
from pmnet.files import read_npz


def annotation_file(source: Path, annotations: Path | None) -> tuple[Path, Path]:
    """Return the folder that other files are relative to, and the file of annotations.

    `annotations` is given relative to the folder `source`; None means that `source` is the file.
    """
    if annotations is not None:
        return source, source / annotations
    if source.is_dir():
        raise InputError(
            f"{source}: a folder; say in options.annotations which file of it holds the annotations"
        )
    return source.parent, source


def matching(root: Path, pattern: str) -> list[Path]:
    """Return what lies below `root` by a pattern, sorted; nothing where it cannot be listed."""
    try:
        return sorted(root.rglob(pattern))
    except OSError:
        return []


def npz_keys(path: Path) -> set[str]:
    """Return the keys of an npz from its table of contents; none where it is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return set()


def npz_names(path: Path) -> list[str]:
    """Return the image names of SPIN's npz; none where it cannot be read."""
    try:
        return array(path, read_npz(path, ("imgname",)), "imgname", (None,), "U").tolist()
    except (InputError, UnicodeDecodeError):
        return []


def concatenated(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, in order; they have the same columns."""
    columns = [field.name for field in fields(Rows) if getattr(parts[0], field.name) is not None]
    return Rows(**{c: np.concatenate([np.asarray(getattr(p, c)) for p in parts]) for c in columns})
