"""The CSV log of a training: rewritten whole with each new row, so that it can be watched."""

import csv
from pathlib import Path
from typing import Any, Final

from pmnet.core.files import replacing
from pmnet.model.losses import TERMS

MEASURES: Final = ("loss", *TERMS, "accuracy")
MEANS: Final = (
    *MEASURES,
    "gradient_norm",
)  # over the steps of a row; the norm before it is clipped
COLUMNS: Final = ("seed", "step", *MEANS)
Row = dict[str, float | int]


def write_log(path: Path, rows: list[Row]) -> None:
    """Write all rows of a training, whole."""
    with replacing(path) as partial, partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def row(seed: int, step: int, means: list[float]) -> dict[str, Any]:
    """Return a row of the log: `means` over the steps since the last row, in the order of MEANS."""
    return {"seed": seed, "step": step} | {
        name: round(value, 6) for name, value in zip(MEANS, means, strict=True)
    }


def in_words(last: Row) -> str:
    """Return the losses and the share of right prototypes of a row as one text."""
    terms = ", ".join(f"{name} {last[name]:.2g}" for name in TERMS)
    return f"loss {last['loss']:.3g}, accuracy {last['accuracy']:.0%}, {terms}"
