"""The settings of the evaluate stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.model.selection import Selection


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocol of the errors (section `evaluate`).

    The inference `model` uses `selection`; the selections of `also` are evaluated beside it.
    """

    selection: Selection
    also: list[Selection]
    alignment: Literal["none", "pelvis", "hips"]
