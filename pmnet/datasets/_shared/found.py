"""What `pmnet check` finds below a folder: a data set that an adapter recognises by its files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

LOOK_AT = 5  # image names that are tried to find where the images lie


@dataclass(frozen=True)
class Found:
    """One entry for `datasets` of params.yaml, as an adapter's `find` suggests it.

    `layout` says in words what was recognised; `source`, `split` and `options` are those of the entry;
    `published` is how many rows others count in it, where that is known.
    """

    adapter: str
    layout: str
    source: Path
    split: Literal["train", "test", "preview"]
    options: dict[str, Any] = field(default_factory=dict)
    published: int | None = None


def image_root(names: Iterable[str], near: Path, root: Path) -> Path:
    """Return the folder that image names are relative to: the first below `root` that has one of them.

    Looked at are the folders from `near` up to `root`, and those one and two below each; `near`
    where there is no image at all.
    """
    tried = [name for name, _ in zip(names, range(LOOK_AT), strict=False)]
    above = [folder for folder in (near, *near.parents) if folder.is_relative_to(root)]
    for folder in above:
        for candidate in (folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))):
            if any((candidate / name).is_file() for name in tried):
                return candidate
    return near
