"""images: the pixels of a data set's samples, in one file."""

from pathlib import Path

from pmnet.images.making import make_images
from pmnet.params import Images, Machine
from pmnet.stage import command


def images(samples: Path, body: Path, out: Path, images: Images, machine: Machine) -> None:
    """Render the images of a data set whose samples are poses alone."""
    make_images(samples, body, out, images, machine)


if __name__ == "__main__":
    command(images)
