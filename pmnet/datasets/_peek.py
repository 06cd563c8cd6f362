"""What lies below a folder: what `find` of the adapters looks at, by names and keys.

Nothing here raises on a file that is broken or foreign; reading it gives the error.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pmnet.datasets._npz import read_texts_npz
from pmnet.errors import InputError


def files_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files below a folder that end in one of `suffixes`, in a fixed order."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(suffixes) and not name.startswith("."):
                yield Path(folder) / name


def npz_texts(path: Path, key: str) -> list[str]:
    """Return one array of texts of an npz; empty where it cannot be read."""
    try:
        found = read_texts_npz(path, (key,)).get(key, np.zeros(0))
        texts = np.char.decode(found, "utf-8") if found.dtype.kind == "S" else found
    except (InputError, UnicodeDecodeError):
        return []
    return [str(text) for text in texts.tolist()] if texts.ndim == 1 else []
