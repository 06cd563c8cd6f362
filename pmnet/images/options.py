"""The settings of the images stage."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from pmnet.core.ranges import Distinct, Seed, Share
from pmnet.images.file import Context, SizePx


@dataclass(frozen=True)
class Images:
    """How the pixels of a data set are made (stage `images`).

    Images show `context` times the box of the person, for augmentation. A share `max_missing` of the
    image files may be missing or broken. `upright` names the data sets whose labels belong to the pictures
    turned as their EXIF header says (null: none); all other labels belong to the pixels as stored. A
    picture may have `max_megapixels`.
    """

    size_px: SizePx
    context: Context
    max_missing: Share
    upright: Annotated[list[str], Distinct()] | None
    max_megapixels: Annotated[int, Interval(ge=1, le=100_000)]
    encoding: Literal["raw", "jpeg"]
    jpeg_quality: Annotated[int, Interval(ge=1, le=100)]
    supersampling: Annotated[int, Interval(ge=1, le=16)]
    variety: Share
    skin_share: Share
    seed: Seed
