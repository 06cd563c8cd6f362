"""Crops of real images by the box of the person, for samples whose pixels are files.

Pixel i of an image covers the coordinates from i to i + 1, so the crop's left edge (-1 in crop coordinates)
lies at `center` - 100 `scale` px. Crops are resampled with a triangle filter as wide as a pixel of the
crop, so that large people do not alias; outside of the image the crop is black. The orientation in the EXIF
header is ignored: the field's annotations belong to the pixels as they are stored.
"""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.core.progress import say
from pmnet.data.samples import Samples

FORMATS = ("JPEG", "PNG")
NAMED, LISTED = 3, 20  # files that an error names, and files that a run lists
MAX_REDUCTION = 4  # source pixels per pixel of the crop; more are averaged before resampling
MAX_WIDTH = 100  # of a box, in widths of its image; a wider box is a mistake


class _NoImageError(Exception):
    """A row has no crop; the message is the reason."""


class Cropper:
    """Cuts the images of rows out of the files of a data set."""

    def __init__(self, samples: Samples, side_px: int, context: float) -> None:
        self._samples, self._root = samples, Path(samples.about.root)
        self._side_px, self._context = side_px, context

    def __call__(self, rows: slice) -> tuple[UInt8[Tensor, "b 3 s s"], dict[int, str]]:
        """Return one image per row, black where it is missing, and the reasons: {row: reason}."""
        numbers = range(*rows.indices(len(self._samples)))
        images = torch.zeros(len(numbers), 3, self._side_px, self._side_px, dtype=torch.uint8)
        problems = {}
        for position, row in enumerate(numbers):
            try:
                images[position] = self._cut(row)
            except _NoImageError as error:
                problems[row] = str(error)
        return images, problems

    def _cut(self, row: int) -> UInt8[Tensor, "3 s s"]:
        x, y = self._samples.center[row].tolist()
        box_px = BOX_PX * float(self._samples.scale[row])
        image = read_image(self._root / self._samples.image_name[row])
        widest = MAX_WIDTH * max(image.size)
        if not 0 < box_px <= widest:
            raise _NoImageError(f"its box is {box_px:g} px wide")
        if not all(
            -box_px < 2 * c < 2 * n + box_px for c, n in zip((x, y), image.size, strict=True)
        ):
            raise _NoImageError("its box lies outside of the image")
        crop = cut_square(image, (x, y), box_px * self._context, self._side_px)
        return torch.from_numpy(np.array(crop)).permute(2, 0, 1)


def read_image(path: Path) -> Image.Image:
    """Return an image file as RGB: grey is repeated, transparency dropped."""
    try:
        refuse_special(path)
        image = Image.open(path, formats=FORMATS)
        image.load()
    except (FileNotFoundError, IsADirectoryError):
        raise _NoImageError("no such file") from None
    except (
        # what Pillow raises on damaged bytes
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        why = str(error).replace(repr(str(path)), "the file")
        raise _NoImageError(f"not a readable {' or '.join(FORMATS)}: {why}") from None
    if image.mode.startswith(("I", "F")):
        raise _NoImageError("its pixels have more than 8 bits")
    return image if image.mode == "RGB" else image.convert("RGB")


def cut_square(
    image: Image.Image, center: tuple[float, float], width: float, side_px: int
) -> Image.Image:
    """Return the square of `width` px around `center` px, resampled to `side_px`, black outside."""
    coarse = int(width / side_px / MAX_REDUCTION)
    if coarse > 1:
        image, width = image.reduce(coarse), width / coarse
        center = center[0] / coarse, center[1] / coarse
    left, top = (c - width / 2 for c in center)
    margin = math.ceil(width / side_px) + 1  # the filter reaches one pixel of the crop further
    x, y = math.floor(left) - margin, math.floor(top) - margin
    side = math.ceil(width) + 2 * margin + 1
    region = image.crop((x, y, x + side, y + side))
    box = left - x, top - y, left - x + width, top - y + width
    return region.resize((side_px, side_px), Image.Resampling.BILINEAR, box)


class Missing:
    """The missing images of a data set: tolerated up to a share, beyond it an error."""

    def __init__(self, file: Path, samples: Samples, max_share: float) -> None:
        """Look for all files; raises InputError where too many are missing."""
        self._file, self._samples, self._max_share = file, samples, max_share
        self._reasons: dict[int, str] = {}
        root = Path(samples.about.root)
        there = {name: (root / name).is_file() for name in dict.fromkeys(samples.image_name)}
        self.add(
            {row: "no such file" for row, name in enumerate(samples.image_name) if not there[name]}
        )

    def add(self, reasons: dict[int, str]) -> None:
        """Count rows without an image; raises InputError where they become too many."""
        self._reasons |= reasons
        count, n = len(self._reasons), len(self._samples)
        if count > self._max_share * n:
            named = "; ".join(self._lines(NAMED))
            raise InputError(
                f"{self._file}: {count} of {n} images are missing or broken below "
                f"{self._samples.about.root}, such as {named}; put them there, correct the data set's "
                f"options.images, or allow a larger share than images.max_missing, {self._max_share:g}"
            )

    def report(self) -> None:
        """Print the number of missing images and the first of them."""
        if self._reasons:
            n = len(self._samples)
            say(f"{len(self._reasons)} of {n} images are missing or broken and stay black:")
            for line in self._lines(LISTED):
                say(f"  {line}")

    def _lines(self, most: int) -> list[str]:
        first = sorted(self._reasons.items())[:most]
        return [f"{self._samples.image_name[row]} ({reason})" for row, reason in first]
