"""prototypes: the prototypes of a memory in three views (Fig. 4)."""

from pathlib import Path
from typing import Annotated

from pmnet.body import BodyModel
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.params import Pictures
from pmnet.pictures import prototypes_figure, save_picture
from pmnet.stage import Section, command


def prototypes(
    memory: Path,
    body: Path,
    out: Path,
    size: Annotated[Pictures, Section("figures.prototypes")],
) -> None:
    """Draw prototypes from the most to the least common: as seen, from the front, from the side."""
    figure = prototypes_figure(PrototypeMemory.load(memory), BodyModel.load(body), size)
    save_picture(figure, out)


if __name__ == "__main__":
    command(prototypes)
