"""Crops of real images by the box of the person, for samples whose pixels are files.

Pixel i of an image covers the coordinates from i to i + 1, so the crop's left edge (-1 in crop coordinates)
lies at `center` - 100 `scale` px. Crops are resampled with a triangle filter as wide as a pixel of the
crop, so that large people do not alias; outside of the image the crop is black. The orientation in the EXIF
header is ignored (the field's annotations belong to the pixels as they are stored), but for the data sets
that `images.upright` names.
"""

import math
import struct
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.core.progress import say
from pmnet.data.samples import Samples

# what Pillow reads by its own code; EPS would start Ghostscript
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "AVIF")
ORIENTATION = 0x0112  # of the EXIF header; 1: upright
TOO_LARGE = "above images.max_megapixels"
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # modes of grey with 16 bits
NAMED, LISTED = 3, 20  # files that an error names, and files that a run lists
MAX_REDUCTION = 4  # source pixels per pixel of the crop; more are averaged before resampling
MAX_WIDTH = 100  # of a box, in widths of its image; a wider box is a mistake


# what Pillow raises on damaged bytes
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, struct.error),
    *(ZeroDivisionError, OverflowError, Image.DecompressionBombError),
)


class NoImageError(Exception):
    """A row has no crop; the message is the reason."""


@dataclass(frozen=True)
class Reading:
    """How a picture is opened: turned `upright` by its EXIF header or not, and how large it may be.

    `behind` is the colour that shows through transparent pixels; None: their own colour is kept.
    """

    upright: bool = False
    max_megapixels: int = 179  # Pillow's own limit
    behind: tuple[int, int, int] | None = None


AS_STORED = Reading()


class Cropper:
    """Cuts the images of rows out of the files of a data set."""

    def __init__(
        self, samples: Samples, side_px: int, context: float, reading: Reading = AS_STORED
    ) -> None:
        self._samples, self._root = samples, Path(samples.about.root)
        self._side_px, self._context, self._reading = side_px, context, reading

    def __call__(self, rows: slice) -> tuple[UInt8[Tensor, "b 3 s s"], dict[int, str]]:
        """Return one image per row, black where it is missing, and the reasons: {row: reason}."""
        numbers = range(*rows.indices(len(self._samples)))
        images = torch.zeros(len(numbers), 3, self._side_px, self._side_px, dtype=torch.uint8)
        problems = {}
        for position, row in enumerate(numbers):
            try:
                images[position] = self._cut(row)
            except NoImageError as error:
                problems[row] = str(error)
        return images, problems

    def _cut(self, row: int) -> UInt8[Tensor, "3 s s"]:
        x, y = self._samples.center[row].tolist()
        box_px = BOX_PX * float(self._samples.scale[row])
        name = self._samples.image_name[row]
        image = read_image(self._root / name, self._reading)
        # a picture that is higher than wide was turned before: people do so by hand
        if fnmatchcase(name, self._samples.about.turned) and image.width >= image.height:
            image = image.transpose(Image.Transpose.ROTATE_270)  # Pillow counts against the clock
        widest = MAX_WIDTH * max(image.size)
        if not 0 < box_px <= widest:
            raise NoImageError(f"its box is {box_px:g} px wide")
        if not all(
            -box_px < 2 * c < 2 * n + box_px for c, n in zip((x, y), image.size, strict=True)
        ):
            raise NoImageError("its box lies outside of the image")
        crop = cut_square(image, (x, y), box_px * self._context, self._side_px)
        return torch.from_numpy(np.array(crop)).permute(2, 0, 1)


def read_image(path: Path, reading: Reading = AS_STORED) -> Image.Image:
    """Return an image file as RGB: grey is repeated, CMYK converted, 16 bits cut to 8.

    Of several pages or frames, the first is taken.
    """
    try:
        refuse_special(path)
        image = _opened(path, reading.max_megapixels)
        image.load()
        if reading.upright:
            ImageOps.exif_transpose(image, in_place=True)
        return _as_rgb(image, reading.behind)
    except FileNotFoundError:
        raise NoImageError("no such file" + _hint(path)) from None
    except IsADirectoryError:
        raise NoImageError("no such file: it is a folder") from None
    except UNREADABLE as error:
        why = str(error).replace(repr(str(path)), "").strip()
        raise NoImageError(f"not a readable JPEG, PNG or other picture: {why}") from None


def turned_size(path: Path) -> tuple[int, int] | None:
    """Return the stored width and height of a picture that its EXIF header turns; None for any other."""
    try:
        with _opened(path, sys.maxsize) as image:
            return image.size if image.getexif().get(ORIENTATION, 1) in range(2, 9) else None
    except UNREADABLE:
        return None


def _opened(path: Path, max_megapixels: int) -> Image.Image:
    """Return an image whose header is read; its size is checked against our limit, not Pillow's."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(path, formats=_formats())
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise NoImageError(f"{megapixels:.0f} megapixels, {TOO_LARGE}, {max_megapixels}")
    return image


@cache
def _formats() -> tuple[str, ...]:
    """Return FORMATS without those that this build of Pillow lacks."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def _as_rgb(image: Image.Image, behind: tuple[int, int, int] | None) -> Image.Image:
    if image.mode == "F":
        raise NoImageError("its pixels are fractions; save it with whole numbers of 8 or 16 bits")
    if image.mode in DEEP:
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 1 << 16:
            raise NoImageError("its pixels have more than 16 bits; save it with 8 or 16")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if behind and image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, behind), image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _hint(path: Path) -> str:
    """Return what to do where a name was written on Windows."""
    return "; write / for each \\ in its name" if "\\" in str(path) else ""


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
