"""The settings of the images stage."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Images:
    """How the pixels of a data set are made (stage `images`).

    Images show `context` times the box of the person, for augmentation. A share `max_missing` of the
    image files may be missing or broken.
    """

    size_px: int
    context: float
    max_missing: float
    encoding: Literal["raw", "jpeg"]
    jpeg_quality: int
    supersampling: int
    variety: float
    skin_share: float
    seed: int
