"""What lies below a folder: what `find` of the adapters looks at, by names and keys.

Nothing here raises on a file that is broken or foreign; reading it gives the error.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.formats.npz import read_texts_npz

Folder = tuple[Path, list[str], list[str]]  # its path, and the names of its folders and files
PICTURES: Final = (".jpg", ".jpeg", ".png")  # may be millions, and tell nothing of a data set
_WALKED: ContextVar[dict[Path, list[Folder]] | None] = ContextVar("walked", default=None)


@contextmanager
def walked_once() -> Iterator[None]:
    """Walk a folder only once in this block, however many adapters look below it."""
    token = _WALKED.set({})
    try:
        yield
    finally:
        _WALKED.reset(token)


def files_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files below a folder that end in one of `suffixes`, in a fixed order; no pictures."""
    for folder, _, names in _walk(root):
        yield from (folder / name for name in names if name.endswith(suffixes))


def matching(root: Path, pattern: str) -> list[Path]:
    """Return files, no pictures, and folders below `root` whose path ends as the pattern says, sorted."""
    return sorted(
        path
        for folder, folders, names in _walk(root)
        for path in (folder / name for name in (*folders, *names))
        if path.match(pattern)
    )


def _walk(root: Path) -> Iterable[Folder]:
    walked = _WALKED.get()
    if walked is None:
        return _walk_anew(root)
    if root not in walked:
        walked[root] = list(_walk_anew(root))
    return walked[root]


def _walk_anew(root: Path) -> Iterator[Folder]:
    """Yield each folder with what is in it, sorted; hidden ones and pictures are left out.

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
        files = (name for name in names if not name.lower().endswith(PICTURES))
        yield Path(folder), [*folders], sorted(name for name in files if not name.startswith("."))


def npz_texts(path: Path, key: str) -> list[str]:
    """Return one array of texts of an npz; empty where it cannot be read."""
    try:
        found = read_texts_npz(path, (key,)).get(key, np.zeros(0))
        texts = np.char.decode(found, "utf-8") if found.dtype.kind == "S" else found
    except (InputError, UnicodeDecodeError):
        return []
    return [str(text) for text in texts.tolist()] if texts.ndim == 1 else []
