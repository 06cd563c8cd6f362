"""images: the pixels of a data set's samples, in one file."""

from pathlib import Path

from pmnet.images.making import make_images
from pmnet.params import Images, Machine
from pmnet.stage import command


def images(samples: Path, body: Path, out: Path, images: Images, machine: Machine) -> None:
    """Render the images of samples that are poses alone, or cut people out of the files of others."""
    make_images(samples, body, out, images, machine)


if __name__ == "__main__":
    command(images)
