"""Files of body models: the open body, or the user's own SMPL as .npz or official .pkl."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.body.checks import check_body
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.formats.npz import read_npz
from pmnet.formats.pickles import read_pickle

KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
# made by `pmnet body import --extra` and `--h36m`; without the first the model uses stand-ins (keypoints.py)
OPTIONAL = ("keypoint_regressor", "h36m_regressor")
# `pmnet body import --male --female` adds the bodies of the genders: male_weights and so on
GENDERS: Final = ("male", "female")
GENDERED: Final = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
BETAS = 10
OPEN_BODY = Path(__file__).parent / "open_smpl.npz"


def read_body(path: Path) -> dict[str, np.ndarray]:
    """Return the checked arrays of a body model in SMPL layout, cut to 10 betas.

    If the file also holds the bodies of the genders, all are returned; `body_of` selects one of them.
    Raises InputError where the file is missing, broken, or not a body in SMPL layout.
    """
    values = _read_arrays(path)
    arrays = _checked(path, values)
    for gender in genders_in(values):
        arrays |= _named(gender, _checked(path, body_of(values, gender)))
    return arrays


def genders_in(arrays: Mapping[str, Any]) -> list[str]:
    """Return the genders whose bodies are in these arrays, beside the neutral body."""
    return [gender for gender in GENDERS if f"{gender}_v_template" in arrays]


def body_of(arrays: Mapping[str, Any], gender: str) -> dict[str, Any]:
    """Return the arrays of the neutral body or of the body of a gender."""
    own = {key: arrays[key] for key in (*KEYS, *OPTIONAL) if key in arrays}
    if gender == "neutral":
        return own
    names = {key: f"{gender}_{key}" for key in GENDERED}
    return {key: arrays.get(names.get(key, key)) for key in own}


def with_gender(arrays: dict[str, np.ndarray], gender: str, path: Path) -> dict[str, np.ndarray]:
    """Return arrays with the body of a gender, read from its own file.

    Raises InputError where that file is broken or has other faces.
    """
    own = read_body(path)
    if not np.array_equal(own["f"], arrays["f"]):
        raise InputError(
            f"{path}: its faces differ from the neutral body's; use files of the same release"
        )
    return arrays | _named(gender, own)


def _named(gender: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{gender}_{key}": arrays[key] for key in GENDERED}


def _checked(path: Path, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if missing := [key for key in KEYS if values.get(key) is None]:
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
    """Write body arrays as one compressed npz, whole or not at all.

    The file is read back before it is kept: what is written can be used.
    """
    with replacing(path) as partial:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        try:
            read_body(partial)
        except InputError as error:
            why = str(error).removeprefix(f"{partial}: ")
            raise InputError(
                f"{path}: not written, since it could not be read again: {why}"
            ) from None


def _read_arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such body model; get SMPL from smpl.is.tue.mpg.de and set body.file, or use "
            "the open body"
        )
    if path.suffix == ".pkl":
        return read_pickle(path)
    gendered = [f"{gender}_{key}" for gender in GENDERS for key in GENDERED]
    return dict(read_npz(path, (*KEYS, *OPTIONAL, *gendered)))
