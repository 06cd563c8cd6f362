"""What COCO, MPII, LSP and LSP extended share: SPIN's npz or raw annotations, and fits beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.fits import FitSource, Reject, with_fits
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.spin import read_spin

ReadRaw = Callable[[Path], tuple[Rows, dict[str, int]]]
"""Reads raw annotations: the rows, and what was dropped."""


@dataclass(frozen=True)
class WildOptions:
    """Which files are read; `source` is their folder, or the annotation file itself.

    `layout` is that of `file`, relative to the folder: SPIN's npz, or the data set's own annotations.
    `images` is the folder that image names are relative to. `fits` are tried in their order, the first
    that is valid being taken; without any, pose and shape are those of the file, if it has them, and
    `reject` is not used. Raw annotations give the rows of SPIN's npz, so SPIN's fits belong to both.
    """

    layout: Literal["spin", "raw"]
    file: Path
    images: Path
    fits: list[FitSource] | None
    reject: Reject


def ingest(
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
        raise InputError(f"{path}: no person is left of it; dropped were {counts or 'none'}")
    if options.fits is not None:
        rows, found = with_fits(rows, options.fits, options.reject, folder, path, body)
        counts |= found
    return to_samples(name, rows, path, options.images, body, counts=counts)
