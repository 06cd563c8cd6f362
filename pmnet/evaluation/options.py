"""The settings of the evaluate stage."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pmnet.core.ranges import Distinct
from pmnet.model.selection import Selection

Distance = Literal["as_seen", "heading_free"]


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocols of the errors (section `evaluate`).

    The errors are those of the data sets of `split`: settings are chosen on `validation`, and then the
    `test` is scored once.
    The inference `model` uses `selection`; the selections of `also` are evaluated beside it. `protocols`
    names the protocol of each test set (see `pmnet.evaluation.protocols`), and of all others by `default`.
    `mean` is the body that distances are measured to: a memory of one prototype, or SPIN's
    smpl_mean_params.npz; `distance` compares with it as it stands, or turned to each sample's heading.
    `extra` names metrics of `pmnet.evaluation.extra` with their options; {} measures the paper's three.
    """

    split: Literal["validation", "test"]
    selection: Selection
    also: Annotated[list[Selection], Distinct()]
    protocols: dict[str, Any]
    mean: str
    distance: Distance
    extra: dict[str, Any]
