"""What COCO, MPII, LSP and LSP extended share: their files, how these are found and how they are read.

Each has SPIN's npz or raw annotations, and files of fits beside them.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from annotated_types import MinLen

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.data.sets import Split
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.fits import FitSource, Reject, with_fits
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.spin import is_spin, read_spin
from pmnet.formats.npz import npz_keys

ReadRaw = Callable[[Path], tuple[Rows, dict[str, int]]]
"""Reads raw annotations: returns the rows, and the counts of dropped rows by rule."""


@dataclass(frozen=True)
class WildOptions:
    """Which files are read; `source` is their folder, or the annotation file itself.

    `file` is relative to the folder; its `layout` is SPIN's npz or the data set's own annotations.
    `images` is the folder that image names are relative to. `fits` are tried in their order and the
    first valid one is taken; where `fits` is null, the pose and shape of the file are taken, if it has
    them, and `reject` is not used. Raw annotations give the same rows as SPIN's npz, so SPIN's fits
    belong to both.
    """

    layout: Literal["spin", "raw"]
    file: Path
    images: Path
    fits: Annotated[list[FitSource], MinLen(1)] | None
    reject: Reject


def read_wild(
    name: str, source: Path, options: WildOptions, body: BodyModel, read_raw: ReadRaw
) -> Samples:
    """Return the samples of a data set in the wild; raises InputError naming the file at fault."""
    folder = source.parent if source.is_file() else source
    path = folder / options.file
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; options.file is the annotation file relative to the folder {folder}, "
            f"which {'exists' if folder.is_dir() else 'does not exist'}"
        )
    rows, counts = (read_spin(path), {}) if options.layout == "spin" else read_raw(path)
    if not len(rows):
        raise InputError(f"{path}: no person is left; dropped: {counts or 'none'}")
    if options.fits is not None:
        rows, fit_counts = with_fits(rows, options.fits, options.reject, folder, path, body)
        counts |= fit_counts
    return to_samples(name, rows, path, options.images, body, counts=counts)


ANNOTATION_SUFFIXES: Final = (".npz", ".npy", ".json", ".h5", ".mat")
REJECT: Final = {"max_beta": 3.0, "drops": "betas", "max_reprojection": 0.0}  # SPIN's rule


@dataclass(frozen=True)
class Release:
    """The file names of a data set: SPIN's npz with their splits, and the fits to its training rows."""

    adapter: str
    spin: Mapping[str, Split]
    spin_fits: str
    static_fits: str
    eft: Sequence[str] = ()


def annotation_files(root: Path) -> list[Path]:
    """Return the files below a folder that may hold annotations, in a fixed order."""
    return list(files_below(root, *ANNOTATION_SUFFIXES))


def find_spin(
    root: Path,
    files: Sequence[Path],
    release: Release,
    extra: dict[str, Any],
    published: int | None = None,
) -> list[Found]:
    """Return SPIN's npz files of a release below `root`, with their fits.

    `extra` holds the adapter's own options, beside WildOptions.
    """
    found = []
    for path in files:
        split = release.spin.get(path.name)
        if split is not None and is_spin(npz_keys(path)):
            names = npz_texts(path, "imgname")
            found.append(
                wild_entry(
                    *(root, files, release, "spin", path, names, split, extra),
                    own={"pose", "shape"} <= npz_keys(path),
                    published=published,
                )
            )
    return found


def wild_entry(
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
    """Return the entry of an annotation file; `names` are some of its image names."""
    images = image_root(names, path.parent, root)
    fits = known_fits(files, path, release) if split == "train" else []
    source, folder = _source([path, *(fit for _, fit in fits)], images)
    sources: list[dict[str, Any]] = [{"kind": "own", "file": None}] if own else []
    sources += [{"kind": kind, "file": _relative(fit, folder)} for kind, fit in fits]
    with_what = ", ".join(fit.name for _, fit in fits) or ("its own fits" if own else "no fits")
    options = {
        "layout": layout,
        "file": _relative(path, folder),
        "images": str(images),
        "fits": sources or None,
        "reject": REJECT,
        **extra,
    }
    kind = "SPIN's npz" if layout == "spin" else "raw annotations"
    return Found(
        release.adapter, f"{kind} {path.name}, {with_what}", source, split, options, published
    )


def known_fits(
    files: Sequence[Path], near: Path, release: Release
) -> list[tuple[Literal["spin", "eft", "static"], Path]]:
    """Return the files of fits to a release, best first; of equal names the nearest to `near`."""
    wanted: list[tuple[Literal["spin", "eft", "static"], str, tuple[str, ...]]] = [
        ("spin", release.spin_fits, ("spin_fits", "final_fits")),
        *(("eft", pattern, ()) for pattern in release.eft),
        ("static", release.static_fits, ("static_fits",)),
    ]
    fits: dict[Literal["spin", "eft", "static"], Path] = {}
    for kind, pattern, folders in wanted:
        named = [path for path in files if fnmatch(path.name, pattern)]
        named = [path for path in named if not folders or path.parent.name in folders]
        if named and kind not in fits:
            fits[kind] = max(named, key=lambda path: len(os.path.commonpath([path, near])))
    return list(fits.items())


def _source(paths: Sequence[Path], images: Path) -> tuple[Path, Path]:
    """Return the source of an entry and the folder that its files are relative to.

    The source is the folder of all files. Where the images lie in it too, it is the first file alone:
    DVC hashes all of a source.
    """
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return (paths[0], paths[0].parent) if images.is_relative_to(shared) else (shared, shared)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
