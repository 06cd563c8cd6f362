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
    for folder, _, names in _walk(root):
        yield from (folder / name for name in names if name.endswith(suffixes))


def matching(root: Path, pattern: str) -> list[Path]:
    """Return the files and folders below `root` whose path ends as the pattern says, sorted."""
    return sorted(
        path
        for folder, folders, names in _walk(root)
        for path in (folder / name for name in (*folders, *names))
        if path.match(pattern)
    )


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, sorted, hidden ones left out.

    Links are followed, for users link their data; a folder that was seen already is not.
    """
    seen = set[str]()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), folders, sorted(name for name in names if not name.startswith("."))


def npz_texts(path: Path, key: str) -> list[str]:
    """Return one array of texts of an npz; empty where it cannot be read."""
    try:
        found = read_texts_npz(path, (key,)).get(key, np.zeros(0))
        texts = np.char.decode(found, "utf-8") if found.dtype.kind == "S" else found
    except (InputError, UnicodeDecodeError):
        return []
    return [str(text) for text in texts.tolist()] if texts.ndim == 1 else []
