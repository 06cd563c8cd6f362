"""Protocols: which joints are measured, what is aligned before, and which truth is compared with.

Systems of the field differ in all three by more than they claim to gain, so a protocol is a named object, it
is chosen per data set (`evaluate.protocols`), and its name is printed with every number.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from pmnet.core import params
from pmnet.core.errors import InputError

Alignment = Literal["none", "pelvis", "smpl_hips", "h36m_pelvis", "lsp_hips", "mpii_pelvis"]
MeasuredJoints = Literal["smpl24", "j24_j14", "j24_j17", "h36m_j14", "h36m_j17"]
# alignments that annotated joints allow: they have a pelvis and hips, but no skeleton inside a body
OF_ANNOTATED: Final = ("h36m_pelvis", "mpii_pelvis", "lsp_hips")
OF_SKELETON: Final = ("pelvis", "smpl_hips")
DEFAULT: Final = "default"
JOINTS_IN_WORDS: Final[Mapping[str, str]] = {
    "smpl24": "24 SMPL joints",
    "j24_j14": "J14 of J_regressor_extra",
    "j24_j17": "J17 of J_regressor_extra",
    "h36m_j14": "J14 of J_regressor_h36m",
    "h36m_j17": "J17 of J_regressor_h36m",
}


@dataclass(frozen=True)
class Protocol:
    """How a data set is measured.

    `joints` are the joints of MPJPE and PA-MPJPE: the skeleton's 24, or 14 or 17 joints made from the
    vertices by SPIN's J_regressor_extra (`j24_`) or by J_regressor_h36m (`h36m_`). `mpjpe` and `mpvpe` are
    the points that are moved to zero before joints and vertices are compared: nothing; SMPL's joint 0
    (`pelvis`) or the middle of its joints 1 and 2 (`smpl_hips`); row 0 of J_regressor_h36m
    (`h36m_pelvis`); the middle of the two hips of J14 by J_regressor_h36m (`lsp_hips`); the MPII pelvis of
    J24 (`mpii_pelvis`).

    `truth` says where the true joints are from: the true `body`, by the same regressor, or the `joints` of
    the annotation file. A data set is measured by one of the two: samples without this truth are left out.
    `gender` is the body model of the truth: each sample's `own` gender, its own where body.file has it
    (`given`), or `neutral`. `prediction` is the body model of the prediction.
    """

    name: str
    joints: MeasuredJoints
    mpjpe: Alignment
    mpvpe: Alignment
    truth: Literal["body", "joints"]
    gender: Literal["own", "given", "neutral"]
    prediction: Literal["neutral", "own"]

    def needs_h36m(self) -> bool:
        """Return whether J_regressor_h36m has to be in the body model."""
        points = (self.joints, self.mpjpe, self.mpvpe)
        return any(point.startswith(("h36m", "lsp")) for point in points)

    def needs_genders(self) -> bool:
        """Return whether male and female bodies have to be in the body model."""
        return "own" in (self.gender, self.prediction)

    def in_words(self, gendered: bool) -> str:
        """Return all that the protocol says; `gendered` says that body.file has male and female bodies."""
        at = self.mpvpe if self.mpvpe == self.mpjpe else f"{self.mpvpe} (MPJPE: {self.mpjpe})"
        own = self.gender == "own" or (self.gender == "given" and gendered)
        return (
            f"alignment {at}, {JOINTS_IN_WORDS[self.joints]}"
            + ", annotated joints" * (self.truth == "joints")
            + (", true body of its gender" if own else ", neutral body")
            + ", predicted body of the true gender" * (self.prediction == "own")
        )


# name: joints, alignment of MPJPE, alignment of MPVPE, truth, gender of the truth, gender of the prediction
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    name: Protocol(name, *settings)  # type: ignore[arg-type]
    for name, settings in {
        "skeleton": ("smpl24", "pelvis", "pelvis", "body", "given", "neutral"),
        # SPIN's and PyMAF's eval.py: Human3.6M, MPI-INF-3DHP, 3DPW, and data sets with neutral bodies
        "spin_h36m": ("h36m_j14", "h36m_pelvis", "none", "joints", "neutral", "neutral"),
        "spin_3dhp": ("h36m_j17", "h36m_pelvis", "none", "joints", "neutral", "neutral"),
        "spin_3dpw": ("h36m_j14", "h36m_pelvis", "none", "body", "own", "neutral"),
        "spin_neutral": ("h36m_j14", "h36m_pelvis", "none", "body", "neutral", "neutral"),
        "vibe": ("h36m_j14", "lsp_hips", "none", "body", "neutral", "neutral"),  # and PARE
        "ihmr": (
            "h36m_j14",
            "h36m_pelvis",
            "none",
            "body",
            "own",
            "own",
        ),  # Balanced MSE, mmhuman3d
        "bedlam": ("h36m_j14", "h36m_pelvis", "h36m_pelvis", "body", "own", "neutral"),  # CameraHMR
        "wham": ("h36m_j14", "lsp_hips", "lsp_hips", "body", "own", "neutral"),  # PromptHMR on 3DPW
        "emdb": ("smpl24", "smpl_hips", "smpl_hips", "body", "own", "neutral"),
        "hmr2": (
            "j24_j14",
            "mpii_pelvis",
            "mpii_pelvis",
            "body",
            "own",
            "neutral",
        ),  # TokenHMR on 3DPW
    }.items()
}


def parse_protocol(value: Any, where: str) -> Protocol:
    """Return the protocol of a name, or of a mapping with all fields but the name.

    Raises InputError, naming the key, for an unknown name or field, and for joints of the annotation file
    with an alignment that they do not have.
    """
    if isinstance(value, str):
        if value not in PROTOCOLS:
            names = ", ".join(PROTOCOLS)
            raise InputError(f"{where}: {value!r} is no protocol; known are: {names}")
        return PROTOCOLS[value]
    if not isinstance(value, Mapping):
        names = ", ".join(field.name for field in fields(Protocol) if field.name != "name")
        raise InputError(
            f"{where}: expected the name of a protocol or a mapping of {names}; got {value!r}"
        )
    found: Protocol = params.parse(Protocol, {"name": "own", **value}, where)
    if not re.fullmatch(r"[\w.-]+", found.name):
        raise InputError(f"{where}.name: {found.name!r}; expected letters, digits and . _ - only")
    allowed = OF_SKELETON if found.joints == "smpl24" else OF_ANNOTATED
    if found.truth == "joints" and found.mpjpe not in allowed:
        raise InputError(
            f"{where}.mpjpe: {found.mpjpe} with truth: joints; annotated joints can be aligned at "
            f"{', '.join(allowed)} only"
        )
    return found


def protocol_of(dataset: str, chosen: Mapping[str, Any], where: str) -> Protocol:
    """Return the protocol of a data set, which is `default` where the data set is not named.

    `chosen` is `evaluate.protocols`, and `where` names it in errors. Raises InputError where there is none.
    """
    key = dataset if dataset in chosen else DEFAULT
    if key not in chosen:
        raise InputError(
            f"{where}: has no protocol for {dataset}; add `{dataset}: NAME` or `default: NAME`, "
            f"where NAME is one of {', '.join(PROTOCOLS)}"
        )
    return parse_protocol(chosen[key], f"{where}.{key}")
