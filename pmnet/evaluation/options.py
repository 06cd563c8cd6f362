"""The settings of the evaluate stage."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pmnet.core.ranges import Distinct
from pmnet.model.selection import Selection


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocol of the errors (section `evaluate`).

    The inference `model` uses `selection`; the selections of `also` are evaluated beside it. `extra` names
    metrics of `pmnet.evaluation.extra` with their options; {} measures the paper's three.
    """

    selection: Selection
    also: Annotated[list[Selection], Distinct()]
    alignment: Literal["none", "pelvis", "hips"]
    extra: dict[str, Any]
