"""What `pmnet check` recognises below a folder: how adapters look at files, and what they report.

Nothing here raises on a file that is broken or foreign: reading the file gives the error.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.data.sets import Split
from pmnet.formats.npz import read_npz

Folder = tuple[Path, list[str], list[str]]  # its path, and the names of its folders and files
TRIED_NAMES: Final = 5  # image names that are tried to find the folder of the images
# left out: there may be millions
PICTURES: Final = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".jp2",
    ".avif",
)
ALIGNED: Final = re.compile(r"(.+)_cam([0-3])_aligned")  # MoSh of Human3.6M in a camera's frame
_WALKED: ContextVar[dict[Path, list[Folder]] | None] = ContextVar("walked", default=None)


@dataclass(frozen=True)
class Found:
    """One entry for `datasets` of params.yaml, as an adapter's `find` suggests it.

    `layout` describes in words what was recognised; `source`, `split` and `options` are the fields of
    the entry; `published` is the number of rows in publications, where it is known.
    """

    adapter: str
    layout: str
    source: Path
    split: Split
    options: dict[str, Any] = field(default_factory=dict)
    published: int | None = None


def image_root(names: Iterable[str], near: Path, root: Path) -> Path:
    """Return the folder that image names are relative to: the first that holds one of the images.

    The search goes from `near` up to `root`, and one and two levels below each of these folders.
    Returns `near` where no image is found.
    """
    tried = [name for name, _ in zip(names, range(TRIED_NAMES), strict=False)]
    above = [folder for folder in (near, *near.parents) if folder.is_relative_to(root)]
    for folder in above:
        for candidate in (folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))):
            if any(os.path.isfile(candidate / name) for name in tried):
                return candidate
    return near


@contextmanager
def walked_once(file: Path | None = None) -> Iterator[None]:
    """Walk each folder only once within this block, however many adapters look below it.

    With a `file`, its folder holds nothing else within this block.
    """
    token = _WALKED.set({} if file is None else {file.parent: [(file.parent, [], [file.name])]})
    try:
        yield
    finally:
        _WALKED.reset(token)


def files_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files below a folder that end in one of `suffixes`, in a fixed order; no pictures.

    A path to a file stands for a folder with this file alone.
    """
    for folder, _, names in _walk(root):
        yield from (folder / name for name in names if name.endswith(suffixes))


def matching(root: Path, pattern: str) -> list[Path]:
    """Return files and folders below `root` whose path ends as the pattern does, sorted; no pictures."""
    return sorted(
        path
        for folder, folders, names in _walk(root)
        for path in (folder / name for name in (*folders, *names))
        if path.match(pattern)
    )


def left_out(foreign: Sequence[Path]) -> dict[str, int]:
    """Return the count of files that lie in a data set's folder but do not belong to it."""
    return (
        {f"files left out, which are of another kind, such as {foreign[0]}": len(foreign)}
        if foreign
        else {}
    )


def npz_texts(path: Path, key: str) -> list[str]:
    """Return one array of texts of an npz; empty where it cannot be read."""
    try:
        values = read_npz(path, (key,)).get(key, np.zeros(0))
        texts = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    except (InputError, UnicodeDecodeError):
        return []
    return [str(text) for text in texts.tolist()] if texts.ndim == 1 else []


def _walk(root: Path) -> Iterable[Folder]:
    walked = _WALKED.get()
    if walked is None:
        return _walk_anew(root)
    if root not in walked:
        walked[root] = list(_walk_anew(root))
    return walked[root]


def _walk_anew(root: Path) -> Iterator[Folder]:
    """Yield each folder with its contents, sorted; hidden files and pictures are left out.

    Links are followed, since users link their data; no folder is visited twice.
    """
    if root.is_file():
        yield root.parent, [], [root.name]
        return
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
