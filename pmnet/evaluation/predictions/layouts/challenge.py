"""Submissions to the 3DPW challenge: one pickle per sequence, named like it; joints and rotations alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.evaluation.predictions.record import Predictions, floats

NAME: Final = "pw3d_challenge"
KEYS: Final = {"jointPositions", "orientations"}


def recognises(content: Any) -> bool:
    """Return whether it has the keys of a submission."""
    return isinstance(content, Mapping) and content.keys() >= KEYS


def read(source: Path, content: Mapping[str, Any]) -> Predictions:
    """Return the joints of all people of a sequence; its name is that of the file.

    Rows of frames that do not count may hold anything: those without a sample are not looked at.
    """
    try:
        people = [np.asarray(person, np.float32) for person in content["jointPositions"]]
    except (TypeError, ValueError):
        raise InputError(
            f"{source}: 'jointPositions' is not numbers, P x T x 24 x 3; write the file anew"
        ) from None
    parts = []
    for number, joints in enumerate(people):
        key = f"jointPositions[{number}]"
        place = {key: joints.reshape(len(joints), 24, 3) if joints.ndim == 2 else joints}
        joints = floats(source, place, key, (24, 3)).astype(np.float32)
        names = [f"imageFiles/{source.stem}/image_{t:05d}.jpg" for t in range(len(joints))]
        parts.append(
            Predictions(
                source,
                NAME,
                joints=joints,
                joint_set="smpl24",
                image_name=names,
                person=[f"{source.stem}/{number}"] * len(names),
            )
        )
    if not parts:
        raise InputError(f"{source}: 'jointPositions' is empty; expected one or two people")
    return Predictions.cat(source, parts)
