"""The settings of a fit; `defaults.yaml` beside this file has the values that `pmnet fit` starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from pmnet.core import params
from pmnet.core.errors import InputError

DEFAULTS: Final = Path(__file__).with_name("defaults.yaml")
POSITIVE: Final = (
    *("noise_mm", "noise_px", "wrong_px", "iterations", "tolerance", "shape_frames"),
)


@dataclass(frozen=True)
class FitOptions:
    """How points, prior and limits are weighed, and when a fit ends.

    `noise_mm` is the spread of a point around its place on the body; `robust_mm` the distance from which a
    point counts less and less (0: all count alike). `prior`, `betas`, `limits` and `smooth` multiply the
    terms of pose, shape, joint limits and sequences (0: left out). A fit ends after `iterations` steps, or
    when a step lowers the cost, a negative log-likelihood, by less than `tolerance`. A subject has one
    shape, which `shape_frames` frames give; they also give the places of markers on the skin, which lie
    `place_mm` around those of the table (0: there). A marker `wrong_mm` or more from its place is
    swapped back or dropped (0: never). In cameras, `noise_px` is the spread of a joint around its pixel,
    `robust_px` the scale of the robust loss (0: none), and a view `wrong_px` from the point is dropped.
    """

    noise_mm: float
    robust_mm: float
    prior: float
    betas: float
    limits: float
    smooth: float
    iterations: int
    tolerance: float
    shape_frames: int
    place_mm: float
    wrong_mm: float
    noise_px: float
    robust_px: float
    wrong_px: float


def fit_options(changed: dict[str, Any], where: str) -> FitOptions:
    """Return the default options with some values changed; `where` names them in errors.

    Raises InputError for an unknown name, a value of another kind and one that is out of range.
    """
    values = YAML(typ="safe", pure=True).load(DEFAULTS.read_text())
    options: FitOptions = params.parse(FitOptions, {**values, **changed}, where)
    for name, value in vars(options).items():
        least = 1e-3 if name in POSITIVE else 0.0
        if not least <= value <= 1e6:
            raise InputError(f"{where}.{name}: {value} is out of range; expected {least:g} to 1e6")
    return options
