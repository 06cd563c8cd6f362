"""Joins of labels with fits by the names of images: what matches, and whether enough does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows

MIN_MATCHED: Final = (
    0.1  # least share of a join: below it the names are most likely of another release
)
MAX_PARTS: Final = 6  # folders of a name that are compared at most


def check_matched(path: Path, matched: int, possible: int, what: str, cure: str) -> None:
    """Raise InputError where too few of the `possible` pairs of a join were found.

    `what` is joined, as "fits and rows"; `cure` names the keys of both sides.
    """
    if matched < MIN_MATCHED * possible or not matched:
        raise InputError(
            f"{path}: {matched} of {possible} {what} match; expected {MIN_MATCHED:.0%} or more. {cure}"
        )


def parts(name: object) -> tuple[str, ...]:
    """Return the folders and the file of an image name."""
    return tuple(part for part in str(name).split("/") if part)


def image_keys(rows: Sequence[str], others: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the keys by which two lists of image names are joined.

    A key is the name of the file, with as many of its folders as keep the images of `rows` apart.
    """
    own = [parts(name) for name in rows]
    images = len(set(own))
    depth = next(
        (d for d in range(1, MAX_PARTS) if len({name[-d:] for name in own}) == images), MAX_PARTS
    )
    keys = [["/".join(name[-depth:]) for name in names] for names in (own, map(parts, others))]
    return keys[0], keys[1]


def nearest(rows: Rows, names: Sequence[str], centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a row and its fit, matched by image name, nearest centres first.

    Each row and each fit is in one pair at most.
    """
    row, fit = _same_image(*image_keys([str(name) for name in rows.image_name], names))
    far = np.linalg.norm(centers[fit] - rows.center[row], axis=1)
    by_distance = np.lexsort((fit, row, far))
    near = by_distance[far[by_distance] <= rows.scale[row[by_distance]] * BOX_PX / 2]
    row, fit = row[near], fit[near]
    rows_kept, fits_kept = [row[:0]], [fit[:0]]
    # greedy matching takes a pair that is the nearest both for its row and for its fit
    while len(row):
        first = np.intersect1d(
            np.unique(row, return_index=True)[1], np.unique(fit, return_index=True)[1]
        )
        rows_kept.append(row[first])
        fits_kept.append(fit[first])
        left = ~np.isin(row, row[first]) & ~np.isin(fit, fit[first])
        row, fit = row[left], fit[left]
    return np.concatenate(rows_kept), np.concatenate(fits_kept)


def _same_image(images: Sequence[str], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of an index of `images` and an index of `names` whose names are equal."""
    known, of_known = np.unique(np.array(names, dtype=str), return_inverse=True)
    grouped, sizes = np.argsort(of_known, kind="stable"), np.bincount(of_known)
    starts = np.cumsum(sizes) - sizes
    place = dict(zip(known.tolist(), range(len(known)), strict=True))
    group = np.array([place.get(image, -1) for image in images], int)
    known_rows = np.flatnonzero(group >= 0)
    counts = sizes[group[known_rows]]
    row = np.repeat(known_rows, counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, grouped[np.repeat(starts[group[known_rows]], counts) + within]
