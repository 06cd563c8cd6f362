"""mmhuman3d: `result_keypoints.json` of tools/test.py, and the HumanData npz of its demos."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.evaluation.predictions.record import Predictions, floats, pose_of, texts_at

NAME: Final = "mmhuman3d"


def recognises(content: Any) -> bool:
    """Return whether it has the keys of one of the two files."""
    if not isinstance(content, Mapping):
        return False
    return content.keys() >= {"keypoints", "poses", "betas"} or isinstance(
        content.get("smpl"), Mapping
    )


def read(source: Path, content: Mapping[str, Any]) -> Predictions:
    """Return the predictions; the json has no names, and its rows the order of the annotation file."""
    if "poses" in content:
        values = {key: _numbers(source, content, key) for key in ("poses", "betas")}
        pose = floats(source, values, "poses", (24, 3, 3), (72,))
        return Predictions(source, NAME, pose=pose, betas=floats(source, values, "betas", (10,)))
    smpl: Mapping[str, Any] = content["smpl"]
    if lacking := {"body_pose", "global_orient", "betas"} - smpl.keys():
        raise InputError(f"{source}: 'smpl' lacks {', '.join(sorted(lacking))}; save all three")
    boxes, names = content.get("bboxes_xyxy"), texts_at(content, "image_path")
    frames = content.get("frame_id")
    return Predictions(
        source,
        NAME,
        pose=pose_of(source, smpl["global_orient"], smpl["body_pose"]),
        betas=floats(source, smpl, "betas", (10,)),
        vertices=np.asanyarray(content["verts"]) if content.get("verts") is not None else None,
        image_name=names,
        frame=np.asarray(frames).astype(np.int64) if names is None and frames is not None else None,
        box=None if boxes is None else np.asarray(boxes, float)[:, :4],
    )


def _numbers(source: Path, content: Mapping[str, Any], key: str) -> np.ndarray:
    try:
        return np.array(content[key], np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"{source}: {key!r} is not numbers, or its rows are of different shapes; write the file anew"
        ) from None
