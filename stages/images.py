"""images: the pixels of a data set's samples, in one file."""

from pathlib import Path

from pmnet.core.device import Machine
from pmnet.core.stage import OutFile, command
from pmnet.data.sets import Split
from pmnet.images.making import make_images
from pmnet.images.options import Images


def images(
    samples: Path, body: Path, out: OutFile, split: Split, images: Images, machine: Machine
) -> None:
    """Render samples that are only poses, or crop people from the image files of the data set."""
    make_images(samples, body, out, images, machine, split)


if __name__ == "__main__":
    command(images)
