"""images: the pixels of a data set's samples, in one file."""

from pathlib import Path

from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.core.errors import InputError
from pmnet.core.stage import PARAMS, OutFile, command
from pmnet.data.sets import Split
from pmnet.images.making import make_images
from pmnet.images.options import Images


def images(
    samples: Path, body: Path, out: OutFile, split: Split, images: Images, machine: Machine
) -> None:
    """Render samples that are only poses, or crop people from the image files of the data set."""
    if images.upright:
        _refuse_unknown(images.upright, list(params.read(PARAMS, "datasets")))
    make_images(samples, body, out, images, machine, split)


def _refuse_unknown(upright: list[str], known: list[str]) -> None:
    if wrong := sorted(set(upright) - set(known)):
        raise InputError(
            f"{PARAMS}: images.upright: no data set {', '.join(wrong)}; there are: {', '.join(known)}"
        )


if __name__ == "__main__":
    command(images)
