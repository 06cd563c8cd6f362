"""The CSV log of a training: a row every so many steps, written at once so that it can be watched."""

import csv
from pathlib import Path
from typing import Any, Final

from pmnet.core.files import replacing
from pmnet.model.losses import TERMS

MEASURES: Final = ("loss", *TERMS, "accuracy")
COLUMNS: Final = ("seed", "step", *MEASURES)
Row = dict[str, float | int]


class Log:
    """The rows of all seeds of a run, in one file."""

    def __init__(self, path: Path | None) -> None:
        """Take the file; None writes nothing (all processes but the first)."""
        self._path = path
        self._finished: list[Row] = []

    def write(self, rows: list[Row]) -> None:
        """Write the rows of the seed in training after those of the seeds before, whole."""
        if self._path is None:
            return
        with replacing(self._path) as partial, partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows([*self._finished, *rows])

    def finish(self, rows: list[Row]) -> None:
        """Keep the rows of a seed that is trained."""
        self._finished += rows
        self.write([])


def row(seed: int, step: int, means: list[float]) -> dict[str, Any]:
    """Return a row of the log: the means, in the order of MEASURES, of the steps since the last one."""
    return {"seed": seed, "step": step} | {
        name: round(value, 6) for name, value in zip(MEASURES, means, strict=True)
    }
