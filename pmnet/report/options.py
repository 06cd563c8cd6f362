"""The settings of tables, curves and figures."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval, MinLen

from pmnet.core.ranges import Distinct, Seed

VectorFormat = Literal["pdf", "svg"]  # of the figures for papers, which lie beside the PNG


@dataclass(frozen=True)
class ReportOptions:
    """Statistics of the tables and curves."""

    tails: Annotated[list[Annotated[int, Interval(ge=1, le=100)]], MinLen(1), Distinct()]
    bins: Annotated[int, Interval(ge=1, le=1000)]
    bootstrap: Annotated[int, Interval(ge=1, le=1_000_000)]
    seed: Seed


@dataclass(frozen=True)
class FigureSize:
    """Size of a figure, and of its text."""

    width_in: Annotated[float, Interval(ge=1.0, le=100.0)]
    height_in: Annotated[float, Interval(ge=1.0, le=100.0)]
    dpi: Annotated[int, Interval(ge=10, le=1200)]
    font_pt: Annotated[float, Interval(ge=2.0, le=48.0)]


@dataclass(frozen=True)
class Pictures:
    """How many bodies a figure of rendered bodies shows, and how large each is."""

    bodies: Annotated[int, Interval(ge=1, le=1000)]
    size_px: Annotated[int, Interval(ge=16, le=4096)]


@dataclass(frozen=True)
class PageOptions:
    """How many samples of each test set the page shows, and how their pictures are stored (WebP)."""

    samples: Annotated[int, Interval(ge=1, le=10_000)]
    picture_px: Annotated[int, Interval(ge=16, le=1024)]
    picture_quality: Annotated[int, Interval(ge=1, le=100)]
