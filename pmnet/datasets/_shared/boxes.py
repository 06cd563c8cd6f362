"""The square box of a person: SPIN's convention, a centre in px and a scale of 200 px."""

import numpy as np

from pmnet.body.camera import BOX_PX

ROOM = 1.2  # SPIN: the box is a fifth wider than the joints


def box_around(
    points: np.ndarray, visible: np.ndarray, room: float = ROOM
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre (N, 2) px and scale (N,) of the box around the visible ones of (N, J, 2) px.

    NaN where no point is visible.
    """
    shown = np.where(visible[..., None], points, np.nan)
    seen = visible.any(1)
    low, high = np.full((2, len(points), 2), np.nan)
    low[seen], high[seen] = np.nanmin(shown[seen], 1), np.nanmax(shown[seen], 1)
    return (low + high) / 2, (high - low).max(1) * room / BOX_PX


def box_of_corners(corners: np.ndarray, room: float) -> tuple[np.ndarray, np.ndarray]:
    """Return centre (N, 2) px and scale (N,) of boxes given as (N, 4) x, y, width, height in px."""
    size = corners[:, 2:]
    return corners[:, :2] + size / 2, size.max(1) * room / BOX_PX
