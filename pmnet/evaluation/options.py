"""The settings of the evaluate stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.model.selection import Selection


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocol of the errors (stage `evaluate`).

    `selection` is that of the network's own errors; those by the selections of `also` stand beside.
    """

    selection: Selection
    also: list[Selection]
    alignment: Literal["none", "pelvis", "hips"]
