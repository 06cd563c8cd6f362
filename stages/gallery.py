"""gallery: samples of a test set with prototype, prediction and side view (Figs. 6-8)."""

from pathlib import Path
from typing import Annotated

from pmnet.core.stage import OutFolder, Section, command
from pmnet.images.sheet import save_picture
from pmnet.report.gallery import draw_gallery
from pmnet.report.options import Pictures


def gallery(
    errors: Path,
    sets: Path,
    memory: Path,
    models: Path,
    body: Path,
    out: OutFolder,
    size: Annotated[Pictures, Section("figures.gallery")],
) -> None:
    """Draw head and tail samples of each test set into the folder `out`."""
    for figure, name in draw_gallery(errors, sets, memory, models, body, size):
        save_picture(figure, out / f"{name}.png")


if __name__ == "__main__":
    command(gallery)
