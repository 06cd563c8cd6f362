"""The documented npz of pmnet (docs/score.md), which `pmnet predict` writes too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.evaluation.predictions.record import Predictions, floats, texts_at

NAME: Final = "own"
NAMES: Final = ("image_name", "imgname", "image_path", "img_path")


def recognises(content: Any) -> bool:
    """Return whether there are vertices, or pose and betas, or joints with the name of their set."""
    if not isinstance(content, Mapping):
        return False
    keys = content.keys()
    return "vertices" in keys or "pose" in keys or keys >= {"joints", "joint_set"}


def read(source: Path, content: Mapping[str, Any]) -> Predictions:
    """Return the predictions; joints without `joint_set` are not read."""
    has = content.get
    pose = (
        floats(source, content, "pose", (72,), (24, 3), (24, 3, 3)) if "pose" in content else None
    )
    box = floats(source, content, "box", (4,)) if has("box") is not None else None
    joint_set = "".join(texts_at(content, "joint_set") or [])
    return Predictions(
        source,
        NAME,
        pose=pose.reshape(len(pose), 72) if pose is not None and pose.ndim == 3 else pose,
        betas=np.asarray(content["betas"]) if "betas" in content else None,
        vertices=np.asanyarray(content["vertices"]) if "vertices" in content else None,
        joints=np.asarray(content["joints"]) if joint_set and "joints" in content else None,
        joint_set=joint_set,
        image_name=texts_at(content, *NAMES),
        person=texts_at(content, "person"),
        box=box,
        body="".join(texts_at(content, "body") or []),
    )
