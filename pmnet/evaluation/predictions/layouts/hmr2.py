"""Dumps of the output of HMR 2.0 and TokenHMR: one dict, a list of batches or of people, nested or flat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.evaluation.predictions.record import Predictions, floats, pose_of, texts_at

NAME: Final = "hmr2"
NAMES: Final = ("image_name", "imgname", "img_path", "image_path", "img_name", "img_fn")
PARAMS: Final = ("global_orient", "body_pose", "betas")
NESTED: Final = "pred_smpl_params"


def recognises(content: Any) -> bool:
    """Return whether it is an output dict, or a list of them."""
    if isinstance(content, list):
        return len(content) > 0 and all(_is_output(item) for item in content)
    return _is_output(content)


def _is_output(item: Any) -> bool:
    if not isinstance(item, Mapping):
        return False
    keys = {str(key) for key in item}
    flat = keys >= set(PARAMS) or keys >= {f"{NESTED}.{name}" for name in PARAMS}
    return NESTED in keys or flat or "pred_vertices" in keys


def read(source: Path, content: Any) -> Predictions:
    """Return the predictions of all batches; rotations are matrices or, where flat, vectors too."""
    batches = content if isinstance(content, list) else [content]
    parts = [
        _batch(Path(f"{source}: entry {i}") if len(batches) > 1 else source, batch)
        for i, batch in enumerate(track(batches, "reading"))
    ]
    return Predictions.cat(source, parts)


def _batch(source: Path, batch: Mapping[str, Any]) -> Predictions:
    values = {str(key).removeprefix(f"{NESTED}."): value for key, value in batch.items()}
    if isinstance(batch.get(NESTED), Mapping):
        values |= batch[NESTED]
    vertices = batch.get("pred_vertices")
    if vertices is not None and np.ndim(vertices) == 2:
        vertices = np.asarray(vertices)[None]
    pose = betas = None
    if NESTED in batch or PARAMS[0] in values:
        if lacking := set(PARAMS) - values.keys():
            raise InputError(f"{source}: lacks {', '.join(sorted(lacking))}; dump all three")
        pose = pose_of(source, values["global_orient"], values["body_pose"])
        values["betas"] = np.asarray(values["betas"]).reshape(len(pose), -1)
        betas = floats(source, values, "betas", (10,))
    n = len(pose) if pose is not None else len(np.asarray(vertices))
    return Predictions(
        source,
        NAME,
        pose=pose,
        betas=betas,
        vertices=None if vertices is None else np.asanyarray(vertices),
        image_name=texts_at(values, *NAMES),
        person=texts_at(values, "person"),
        box=_boxes(source, values, n),
    )


def _boxes(source: Path, values: Mapping[str, Any], n: int) -> np.ndarray | None:
    """Return corners of boxes: `box` (x0, y0, x1, y1), or `box_center` and `box_size` as in HMR 2.0."""
    if values.get("box") is not None:
        return floats(source, {"box": np.asarray(values["box"]).reshape(-1, 4)}, "box", (4,))
    if values.get("box_center") is None or values.get("box_size") is None:
        return None
    try:
        centre = np.asarray(values["box_center"], float).reshape(n, 2)
        half = np.asarray(values["box_size"], float).reshape(n, 1) / 2
    except (TypeError, ValueError):
        raise InputError(
            f"{source}: 'box_center' and 'box_size' are not {n} x 2 and {n} numbers"
        ) from None
    return np.concatenate([centre - half, centre + half], 1)
