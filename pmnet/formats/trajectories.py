"""Trajectories of labelled points over frames, as motion capture files hold them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError

METRES: Final = {"m": 1.0, "cm": 0.01, "mm": 0.001}
SPELLED: Final = {"meters": "m", "metres": "m", "millimeters": "mm", "millimetres": "mm"}
CURE: Final = "give the right unit by --unit, or by options.unit of the data set"
SMALLEST_M, LARGEST_M = 0.3, 3.0  # of the spread of a person's markers


@dataclass(frozen=True)
class Trajectories:
    """T frames of M labelled points (m, world of the file), NaN where a point is missing."""

    labels: list[str]
    points: np.ndarray  # (T, M, 3) float64
    rate_hz: float


def in_metres(path: Path, points: np.ndarray, unit: str) -> np.ndarray:
    """Return points in m, NaN where all three numbers are 0: files mark missing points so.

    Raises InputError for an unknown unit, and where the points do not span a person in this unit.
    """
    unit = SPELLED.get(unit.strip().lower(), unit.strip().lower())
    if unit not in METRES:
        raise InputError(f"{path}: unit {unit!r} is none of {', '.join(METRES)}; {CURE}")
    missing = ~np.isfinite(points).all(-1) | (points == 0).all(-1)
    points = np.where(missing[..., None], np.nan, points * METRES[unit])
    shown = points[(~missing).sum(1) > 1]
    if not len(shown):
        raise InputError(f"{path}: no frame shows two points; all are missing, NaN or zero")
    size = float(np.median((np.nanmax(shown, 1) - np.nanmin(shown, 1)).max(1)))
    if not SMALLEST_M <= size <= LARGEST_M:
        fitting = [
            name
            for name, scale in METRES.items()
            if SMALLEST_M <= size * scale / METRES[unit] <= LARGEST_M
        ]
        cure = (
            f"{' or '.join(fitting)} would fit: {CURE}"
            if fitting
            else "no unit fits: see whether the file shows a person"
        )
        raise InputError(
            f"{path}: its points span {size:.3g} m if they are in {unit}; expected a person, "
            f"{SMALLEST_M} to {LARGEST_M:g} m; {cure}"
        )
    return points
