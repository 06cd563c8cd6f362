"""What the evaluation will need of the user's files: asked for before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.body.files import genders_in
from pmnet.body.keypoints import H36M_CURE, SPIN_DATA
from pmnet.core.errors import InputError
from pmnet.evaluation.protocols import parse_protocol

# the mean of the training bodies, which the graph makes
SINGLE: Final = Path("runs/single/memory.npz")
GENDERS_CURE: Final = (
    "the male and female SMPL are at smpl.is.tue.mpg.de: run `pmnet body import SMPL.pkl --male M.pkl "
    "--female F.pkl` again (with --h36m and --extra) and set body.file to its output"
)


def check_regressors(
    arrays: Mapping[str, np.ndarray], chosen: Mapping[str, Any], where: str, file: Path
) -> None:
    """Raise InputError where the arrays of a body model lack what a chosen protocol measures by."""
    for key, value in chosen.items():
        protocol = parse_protocol(value, f"{where}.{key}")
        lacking = []
        if protocol.needs_h36m() and "h36m_regressor" not in arrays:
            lacking.append(f"J_regressor_h36m: {H36M_CURE}")
        if protocol.needs_genders() and len(genders_in(arrays)) < 2:
            lacking.append(f"male or female bodies: {GENDERS_CURE}")
        if lacking:
            raise InputError(
                f"{file}: {where}.{key} is {protocol.name}, but the body model lacks "
                + "; and ".join(lacking)
            )


def check_mean(mean: Path, where: str) -> None:
    """Raise InputError where the file of `evaluate.mean` is missing, unless the graph will make it."""
    if mean != SINGLE and not mean.is_file():
        raise InputError(
            f"{where}: {mean}: no such file; SPIN's mean body is smpl_mean_params.npz in {SPIN_DATA}; "
            f"{SINGLE} is the mean of the training bodies, which the graph makes"
        )
