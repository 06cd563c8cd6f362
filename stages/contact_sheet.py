"""contact_sheet: images of a data set, spread evenly over it."""

from pathlib import Path
from typing import Annotated

from pmnet.core.stage import OutFile, Section, command
from pmnet.data.samples import Samples
from pmnet.images.file import Pixels
from pmnet.images.sheet import save_picture
from pmnet.report.options import Pictures
from pmnet.report.renders import contact_sheet as draw


def contact_sheet(
    samples: Path,
    images: Path,
    out: OutFile,
    size: Annotated[Pictures, Section("figures.contact_sheet")],
) -> None:
    """Draw some images of a data set, so that a person can see whether people stand upright."""
    save_picture(draw(Samples.load(samples), Pixels(images), size), out)


if __name__ == "__main__":
    command(contact_sheet)
