"""The settings of comparators: systems whose prediction files are rows of Tables II to IV."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Use = Literal["pose", "vertices", "joints"]
Turn = Literal["none", "x180", "y180", "z180"]


@dataclass(frozen=True)
class Comparator:
    """One entry of `comparators`; `label` is its name in the tables.

    `source` is a folder with one file of predictions per test set, which has the name of the data set
    (`pw3d.npz`), or a folder of that name. Beside it may lie the names of its rows (`pw3d.names.npz`, the
    npz that was evaluated), and `mapping.npz` with `triangles.npy`. `use` says which columns are scored,
    `first` for the first of pose, vertices and joints that there is. `turn` is half a turn about an axis of
    the camera. With `trust_order`, rows that seem shuffled are no error.
    """

    label: str
    source: Path
    use: Literal["first", "pose", "vertices", "joints"]
    turn: Turn
    trust_order: bool
