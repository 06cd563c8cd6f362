"""figure: a picture of curves or of a sweep."""

from pathlib import Path
from typing import Annotated

from pmnet.core.stage import OutFile, Section, command
from pmnet.report.drawing import save
from pmnet.report.figures import draw
from pmnet.report.options import FigureSize, VectorFormat


def figure(
    name: str,
    data: Path,
    out: OutFile,
    size: Annotated[FigureSize, Section("figures.{name}")],
    vector: VectorFormat = "pdf",
) -> None:
    """Draw one of distance (Fig. 1(b)), reduction (Fig. 5), k_sweep and limb_sweep as PNG and PDF.

    Each figure is a module of pmnet/report/figures, and its size a line of `figures` in params.yaml.
    """
    save(draw(name, data, size), out, size, vector)


if __name__ == "__main__":
    command(figure)
