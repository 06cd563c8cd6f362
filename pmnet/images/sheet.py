"""Pictures side by side on one sheet, as PNG."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pmnet.core.files import replacing

DPI = 100
# inches
GAP, NAME_WIDTH, LINE_HEIGHT = 0.04, 0.25, 0.14


def grid(
    rows: Sequence[UInt8[Tensor, "_ 3 _ _"]],
    row_names: Sequence[str],
    titles: Sequence[Sequence[str]],
    size_px: int,
    below_in: float = 0.0,
) -> Figure:
    """Return a figure of pictures in rows, with a list of titles above each of the first rows.

    `below_in` inches are left free below the pictures. All lie in one pair of axes, since a pair for each
    takes seconds to lay out.
    """
    columns, cell = max(len(row) for row in rows), size_px / DPI
    above = [*titles, *[()] * (len(rows) - len(titles))]
    lines = [max((text.count("\n") + 1 for text in texts if text), default=0) for texts in above]
    left = NAME_WIDTH if any(row_names) else GAP
    width = left + columns * (cell + GAP)
    height = sum(lines) * LINE_HEIGHT + len(rows) * (cell + GAP) + GAP
    figure = Figure((width, height + below_in), DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    y = GAP
    for row, name, texts, count in zip(rows, row_names, above, lines, strict=True):
        y += count * LINE_HEIGHT
        axes.text(left / 2, y + cell / 2, name, rotation=90, ha="center", va="center", fontsize=9)
        for column, picture in enumerate(row):
            x = left + column * (cell + GAP)
            _show(axes, picture, x, y, cell)
            if column < len(texts):
                axes.text(
                    x + cell / 2, y - 0.03, texts[column], ha="center", va="bottom", fontsize=8
                )
        y += cell + GAP
    axes.set(xlim=(0, width), ylim=(height + below_in, 0))
    axes.set_axis_off()
    return figure


def _show(axes: Axes, picture: UInt8[Tensor, "3 _ _"], x: float, y: float, cell: float) -> None:
    """Show a picture in the middle of a square cell with its upper left corner at (x, y)."""
    tall, wide = (side * cell / max(picture.shape[1:]) for side in picture.shape[1:])
    x, y = x + (cell - wide) / 2, y + (cell - tall) / 2
    pixels = picture.permute(1, 2, 0).numpy()
    axes.imshow(pixels, extent=(x, x + wide, y + tall, y), aspect="auto")


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
