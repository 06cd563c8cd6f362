"""The pickles of PyMAF's and WHAM's demos (joblib): per person the rows of the frames that show it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.evaluation.predictions.record import Predictions, floats

NAME: Final = "demo"


def recognises(content: Any) -> bool:
    """Return whether each value is a person with `pose` and `betas`."""
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(p, Mapping) and p.keys() >= {"pose", "betas"} for p in content.values())
    )


def read(source: Path, content: Mapping[Any, Mapping[str, Any]]) -> Predictions:
    """Return the predictions of all persons; `pose` is in the camera frame, `pose_world` is not used.

    PyMAF's `bboxes` are (centre, width, height). WHAM's `verts` are moved by `trans`, which is undone.
    """
    parts = []
    for name, person in content.items():
        place = Path(f"{source}: person {name}")
        pose = floats(place, person, "pose", (72,))
        verts = person.get("verts")
        if verts is not None and "trans" in person:
            verts = np.asarray(verts) - floats(place, person, "trans", (3,))[:, None].astype("f4")
        frames = np.asarray(person.get("frame_ids", np.arange(len(pose))))
        if frames.dtype.kind not in "iu":
            raise InputError(f"{place}: 'frame_ids' are {frames.dtype}; expected whole numbers")
        parts.append(
            Predictions(
                place,
                NAME,
                pose=pose,
                betas=floats(place, person, "betas", (10,)),
                vertices=None if verts is None else np.asarray(verts),
                frame=frames.astype(np.int64),
                box=_boxes(place, person),
            )
        )
    return Predictions.cat(source, parts)


def _boxes(place: Path, person: Mapping[str, Any]) -> np.ndarray | None:
    """Return the corners of PyMAF's boxes."""
    if person.get("bboxes") is None:
        return None
    centre, size = np.split(floats(place, person, "bboxes", (4,)), 2, axis=1)
    return np.concatenate([centre - size / 2, centre + size / 2], 1)
