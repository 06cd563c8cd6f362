"""SPIN's and PyMAF's `eval.py --result_file`: rows in the order of the evaluation npz, without names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pmnet.evaluation.predictions.record import Predictions, floats

NAME: Final = "spin"


def recognises(content: Any) -> bool:
    """Return whether it has SPIN's keys."""
    return isinstance(content, Mapping) and content.keys() >= {"pred_joints", "pose", "betas"}


def read(source: Path, content: Mapping[str, Any]) -> Predictions:
    """Return the predictions; `pred_joints` are the 17 of J_regressor_h36m, not relative to a root."""
    return Predictions(
        source,
        NAME,
        pose=floats(source, content, "pose", (72,)),
        betas=floats(source, content, "betas", (10,)),
        joints=floats(source, content, "pred_joints", (17, 3)),
        joint_set="h36m17",
    )
