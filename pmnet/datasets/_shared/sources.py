"""Where the files of an entry lie: `source` is the file of annotations, or a folder that it is in."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows


def annotation_file(source: Path, file: Path | None) -> tuple[Path, Path]:
    """Return the folder that other files are relative to, and the file of annotations.

    `file` is given relative to the folder `source`; None means that `source` is the file.
    """
    if file is not None:
        return source, source / file
    if source.is_dir():
        raise InputError(
            f"{source}: a folder; say in options.file which file of it holds the annotations"
        )
    return source.parent, source


def concatenated(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, in order; they have the same columns."""
    columns = [field.name for field in fields(Rows) if getattr(parts[0], field.name) is not None]
    return Rows(**{c: np.concatenate([np.asarray(getattr(p, c)) for p in parts]) for c in columns})
