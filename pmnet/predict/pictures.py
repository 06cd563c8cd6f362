"""The pictures that bodies are predicted on: found below a folder, and read as a person sees them."""

import os
import re
from pathlib import Path
from typing import Final

from PIL import Image

from pmnet.core.errors import InputError
from pmnet.images.crops import NoImageError, Reading, read_image

SUFFIXES: Final = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
     ".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".tga", ".avif"]
)  # fmt: skip
VIDEOS: Final = frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
AS_SEEN: Final = Reading(upright=True, behind=(255, 255, 255))
NUMBER: Final = re.compile(r"(\d+)")

__all__ = ["NoImageError", "find_pictures", "read_picture"]


def find_pictures(source: Path, out: Path) -> tuple[Path, list[str]]:
    """Return a folder and the names of the pictures in it, at any depth, in natural order (2 before 10).

    `source` is a picture or a folder; what lies below `out` is left out. Raises InputError where there is no
    picture.
    """
    if source.suffix.lower() in VIDEOS:
        raise InputError(
            f"{source}: is a video; write its frames to a folder (ffmpeg -i {source.name} "
            "frames/%06d.jpg) and give that folder with --fps"
        )
    if not source.is_dir():
        if not source.exists():
            raise InputError(f"{source}: no such picture or folder")
        return source.parent, [source.name]
    ours, found = out.resolve(), list[str]()
    if source.resolve() == ours:
        raise InputError(
            f"--out {out}: is the folder of the pictures; give another, such as {out / 'predicted'}"
        )
    for folder, inner, names in os.walk(source):
        here = Path(folder)
        inner[:] = [name for name in inner if (here / name).resolve() != ours]
        if here.resolve() == ours:
            continue
        below = "" if here == source else f"{here.relative_to(source).as_posix()}/"
        found += [below + name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    if not found:
        raise InputError(
            f"{source}: no pictures below it; expected files that end in "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return source, sorted(found, key=_natural)


def _natural(name: str) -> tuple[list[str | int], str]:
    """Return a key that orders numbers in names by their values."""
    pieces: list[str | int] = [*NUMBER.split(name)]
    pieces[1::2] = map(int, pieces[1::2])
    # of equal numbers, as 01 and 1, the names themselves decide
    return pieces, name


def read_picture(path: Path) -> Image.Image:
    """Return a picture as RGB, turned as its EXIF header says; transparent pixels show white.

    Grey is repeated, CMYK converted, 16 bits cut to 8. Raises NoImageError with the reason where the file
    cannot be read.
    """
    return read_image(path, AS_SEEN)
