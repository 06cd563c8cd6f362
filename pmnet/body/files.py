"""Body model files: the open body, the user's own SMPL as .npz or official .pkl."""

from pathlib import Path
from typing import Any

import numpy as np

from pmnet.body.checks import check_body
from pmnet.body.pickles import read_pickle
from pmnet.errors import InputError
from pmnet.files import read_npz, replacing

KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
# made by `pmnet body import --extra`; without it the model takes stand-ins (keypoints.py)
OPTIONAL = ("keypoint_regressor",)
BETAS = 10
OPEN_BODY = Path(__file__).parent / "open_smpl.npz"


def read_body(path: Path) -> dict[str, np.ndarray]:
    """Return the checked arrays of a body model in SMPL layout, cut to 10 betas.

    Raises InputError where the file is missing, broken, or not such a body.
    """
    values = _read_arrays(path)
    if missing := [key for key in KEYS if key not in values]:
        raise InputError(
            f"{path}: not an SMPL model: missing {', '.join(missing)}; expected the .npz or .pkl of "
            "SMPL (SMPL_NEUTRAL, basicModel_neutral_lbs_10_207_0)"
        )
    try:
        arrays = {key: np.asarray(values[key]) for key in (*KEYS, *OPTIONAL) if key in values}
        check_body(arrays)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    arrays["shapedirs"] = arrays["shapedirs"][..., :BETAS]
    floats = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", *OPTIONAL)
    for key in (key for key in floats if key in arrays):
        arrays[key] = arrays[key].astype(np.float32)
    for key in ("f", "kintree_table"):
        arrays[key] = arrays[key].astype(np.int64)
    # SMPL writes the root's parent as 2^32 - 1
    arrays["kintree_table"][0, 0] = -1
    return arrays


def write_body(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write body arrays as one compressed npz, whole or not at all."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def _read_arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path}: no body model there; get SMPL from smpl.is.tue.mpg.de and set body.file, or use "
            "the open body"
        )
    if path.suffix == ".pkl":
        return read_pickle(path)
    return dict(read_npz(path, (*KEYS, *OPTIONAL)))
