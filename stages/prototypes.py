"""prototypes: the prototypes of a memory in three views (Fig. 4)."""

from pathlib import Path
from typing import Annotated

from pmnet.body import BodyModel
from pmnet.core.stage import OutFile, Section, command
from pmnet.images.sheet import DPI
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.report.drawing import save_pictures
from pmnet.report.options import Pictures, VectorFormat
from pmnet.report.renders import prototypes_figure


def prototypes(
    memory: Path,
    body: Path,
    out: OutFile,
    size: Annotated[Pictures, Section("figures.prototypes")],
    vector: VectorFormat = "pdf",
) -> None:
    """Draw prototypes from the most to the least common: as seen, from the front, from the side."""
    figure = prototypes_figure(PrototypeMemory.load(memory), BodyModel.load(body), size)
    save_pictures(figure, out, DPI, vector)


if __name__ == "__main__":
    command(prototypes)
