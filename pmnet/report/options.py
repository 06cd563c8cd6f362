"""The settings of tables, curves and figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportOptions:
    """Statistics of the tables and curves."""

    tails: list[int]
    bins: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class FigureSize:
    """Size of a figure."""

    width_in: float
    height_in: float
    dpi: int


@dataclass(frozen=True)
class Pictures:
    """How many bodies a figure of rendered bodies shows, and how large each is."""

    bodies: int
    size_px: int
