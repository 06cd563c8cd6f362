"""The settings of the images stage."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Images:
    """How the pixels of a data set are made (stage `images`).

    Images show `context` times the box of the person, for augmentation. A share `max_missing` of the
    image files may be missing or broken. `upright` names the data sets whose labels belong to the pictures
    turned as their EXIF header says (null: none); all other labels belong to the pixels as stored. A
    picture may have `max_megapixels`.
    """

    size_px: int
    context: float
    max_missing: float
    upright: list[str] | None
    max_megapixels: int
    encoding: Literal["raw", "jpeg"]
    jpeg_quality: int
    supersampling: int
    variety: float
    skin_share: float
    seed: int
