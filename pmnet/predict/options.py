"""The settings of `pmnet predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from annotated_types import Interval, MinLen

from pmnet.core.ranges import Distinct, Share

Save = Literal["npz", "obj", "glb", "amass", "overlay", "sheet"]
WHOLE: Final = "whole"


@dataclass(frozen=True)
class PredictOptions:
    """How people are predicted and what is saved.

    `boxes` is whole (one person fills each picture), a file of boxes, or torchvision:NAME; boxes are widened
    by `margin`; detected people have at least `min_score`. `focal_length` is in px of the picture (None:
    5000 / 256 of its longer side). With `fps`, the pictures are the frames of a video. `glb` is a plain mesh
    or a mesh on its skeleton. `readers` threads, or processes where a GPU computes, open pictures.
    """

    out: Path
    boxes: str
    margin: Annotated[float, Interval(gt=0.0, le=10.0)]
    min_score: Share
    focal_length: Annotated[float, Interval(gt=0.0, le=1e9)] | None
    fps: Annotated[float, Interval(gt=0.0, le=1e6)] | None
    save: Annotated[list[Save], MinLen(1), Distinct()]
    glb: Literal["skeleton", "plain"]
    readers: Annotated[int, Interval(ge=1, le=1024)]
