"""Pictures side by side on one sheet, as PNG."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from pmnet.core.files import replacing

DPI = 100


def grid(
    rows: Sequence[UInt8[Tensor, "_ 3 _ _"]],
    row_names: Sequence[str],
    titles: Sequence[str] | Sequence[Sequence[str]],
    size_px: int,
) -> Figure:
    """Return a figure of pictures in rows, with titles above the first row or above each row."""
    columns, cell = max(len(row) for row in rows), size_px / DPI
    figure = Figure((columns * cell + 0.4, len(rows) * cell * 1.1 + 0.4), DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for index, (row, name) in enumerate(zip(rows, row_names, strict=True)):
        above: Sequence[str] = titles if index == 0 else [""] * columns  # type: ignore[assignment]
        if titles and not isinstance(titles[0], str):
            above = titles[index]
        for column, axis in enumerate(axes[index]):
            axis.set_axis_off()
            if column < len(row):
                axis.imshow(row[column].permute(1, 2, 0).numpy())
                axis.set_title(above[column] if column < len(above) else "", fontsize=8)
        if name:
            axes[index][0].text(
                -0.02, 0.5, name, transform=axes[index][0].transAxes, rotation=90,
                ha="right", va="center", fontsize=9,
            )  # fmt: skip
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
