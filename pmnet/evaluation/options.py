"""The settings of the evaluate stage."""

from dataclasses import dataclass
from typing import Any, Literal

from pmnet.model.selection import Selection


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocol of the errors (section `evaluate`).

    The errors are those of the data sets of `split`: settings are chosen on `validation`, and then the
    `test` is scored once.
    The inference `model` uses `selection`; the selections of `also` are evaluated beside it. `extra` names
    metrics of `pmnet.evaluation.extra` with their options; {} measures the paper's three.
    """

    split: Literal["validation", "test"]
    selection: Selection
    also: list[Selection]
    alignment: Literal["none", "pelvis", "hips"]
    extra: dict[str, Any]
