"""How the data sets in the wild are recognised below a folder: by the names that their releases have."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, Literal

from pmnet.datasets._shared.found import Found, image_root
from pmnet.datasets._shared.peek import files_below, npz_texts
from pmnet.formats.npz import npz_keys

Split = Literal["train", "test"]
SUFFIXES: Final = (".npz", ".npy", ".json", ".h5", ".mat")
REJECT: Final = {"max_beta": 3.0, "max_reprojection": 0.0}  # SPIN's rule


@dataclass(frozen=True)
class Release:
    """The file names of a data set: SPIN's npz by split, and the files of fits to its training rows."""

    adapter: str
    spin: Mapping[str, Split]
    spin_fits: str
    static_fits: str
    eft: Sequence[str] = ()


def annotation_files(root: Path) -> list[Path]:
    """Return the files below a folder that may hold annotations, in a fixed order."""
    return list(files_below(root, *SUFFIXES))


def find_spin(
    root: Path,
    files: Sequence[Path],
    release: Release,
    extra: dict[str, Any],
    published: int | None = None,
) -> list[Found]:
    """Return SPIN's npz files of a release that lie below `root`, with the fits to them.

    `extra` are the options that the adapter has beside the shared ones.
    """
    found = []
    for path in files:
        split = release.spin.get(path.name)
        if split is not None:
            names = npz_texts(path, "imgname")
            found.append(
                entry(
                    *(root, files, release, "spin", path, names, split, extra),
                    own={"pose", "shape"} <= npz_keys(path),
                    published=published,
                )
            )
    return found


def entry(
    root: Path,
    files: Sequence[Path],
    release: Release,
    layout: Literal["spin", "raw"],
    path: Path,
    names: Iterable[str],
    split: Split,
    extra: dict[str, Any],
    own: bool = False,
    published: int | None = None,
) -> Found:
    """Return the entry of an annotation file; `names` are some image names of it."""
    images = image_root(names, path.parent, root)
    fits = known_fits(files, path, release) if split == "train" else []
    source, folder = _source([path, *(fit for _, fit in fits)], images)
    sources: list[dict[str, Any]] = [{"kind": "own", "file": None}] if own else []
    sources += [{"kind": kind, "file": _relative(fit, folder)} for kind, fit in fits]
    said = ", ".join(fit.name for _, fit in fits) or ("its own fits" if own else "no fits")
    options = {
        "layout": layout,
        "file": _relative(path, folder),
        "images": str(images),
        "fits": sources or None,
        "reject": REJECT,
        **extra,
    }
    kind = "SPIN's npz" if layout == "spin" else "raw annotations"
    return Found(release.adapter, f"{kind} {path.name}, {said}", source, split, options, published)


def known_fits(
    files: Sequence[Path], near: Path, release: Release
) -> list[tuple[Literal["spin", "eft", "static"], Path]]:
    """Return the files of fits to a release, best first; of namesakes the one nearest to `near`."""
    wanted: list[tuple[Literal["spin", "eft", "static"], str, tuple[str, ...]]] = [
        ("spin", release.spin_fits, ("spin_fits", "final_fits")),
        *(("eft", pattern, ()) for pattern in release.eft),
        ("static", release.static_fits, ("static_fits",)),
    ]
    found: dict[Literal["spin", "eft", "static"], Path] = {}
    for kind, pattern, folders in wanted:
        named = [path for path in files if fnmatch(path.name, pattern)]
        named = [path for path in named if not folders or path.parent.name in folders]
        if named and kind not in found:
            found[kind] = max(named, key=lambda path: len(os.path.commonpath([path, near])))
    return list(found.items())


def _source(paths: Sequence[Path], images: Path) -> tuple[Path, Path]:
    """Return the source of an entry and the folder that its files are relative to.

    It is the folder of all files; the first file alone where the images lie in that folder, too: a
    source is hashed whole.
    """
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return (paths[0], paths[0].parent) if images.is_relative_to(shared) else (shared, shared)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
