"""The figures that are drawn from a table (CSV): one module per figure, found by its name.

A module has `COLUMNS`, the columns that its table must have, and `draw(table, size)`, which returns the
figure. `pmnet figure --name NAME` draws figures/NAME.py in the size `figures.NAME` of params.yaml.
"""

import importlib
import pkgutil
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pmnet.core.errors import InputError
from pmnet.report.options import FigureSize


def names() -> list[str]:
    """Return the names of all figures."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def draw(name: str, table: Path, size: FigureSize) -> Figure:
    """Return the figure of that name from its CSV.

    Raises InputError for an unknown name, and where the CSV is missing, empty or of other columns.
    """
    if name not in names():
        raise InputError(f"figure {name!r} is not one of {', '.join(names())}")
    figure = importlib.import_module(f"{__name__}.{name}")
    try:
        rows = pd.read_csv(table)
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: not readable as CSV ({error}); run dvc repro") from None
    missing = [column for column in figure.COLUMNS.split() if column not in rows]
    if missing or rows.empty:
        raise InputError(
            f"{table}: the figure {name} needs rows with the columns {figure.COLUMNS}; "
            f"missing: {' '.join(missing) or 'rows'}; run dvc repro"
        )
    drawn: Figure = figure.draw(rows, size)
    return drawn
