"""Samples whose bodies were fitted by pmnet: how good the fit of each is, beside what all samples have."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.body.parts import JOINTS
from pmnet.core.arrow import open_arrow
from pmnet.core.files import replacing
from pmnet.data.samples import Samples
from pmnet.formats.arrays import array

KEYS: Final = (
    *("residuals_mm", "latent_joints", "fitted", "converged", "swapped", "dropped", "body"),
    "sigma_mm",
)
# column -> (numbers per row, meaning)
COLUMNS: Final = {
    "residuals_mm": (
        24,
        "mean distance of the points of each joint from what was seen, mm; or NaN",
    ),
    "sigma_mm": (
        24,
        "standard deviation of each joint given what was seen, mm; NaN: not known",
    ),
    "converged": (1, "the fit settled before its steps ran out"),
}


@dataclass(frozen=True)
class ClipFit:
    """How good the fit of a clip of T frames is, and how many points were set right or left out."""

    residuals_mm: np.ndarray  # (T, 24), NaN where no point of the joint was seen
    sigma_mm: np.ndarray  # (T, 24), NaN where it is not known
    fitted: np.ndarray  # (T,)
    converged: np.ndarray  # (T,)
    swapped: int
    dropped: int
    unfitted: int  # frames that showed too few points
    body: str  # sha256 of the body model that was fitted

    def __getitem__(self, frames: list[int]) -> "ClipFit":
        """Return the fit of some frames."""
        picked = {
            field.name: getattr(self, field.name)[frames]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return replace(self, **picked)


def clip_fit(path: Path, values: Mapping[str, Any], count: int) -> ClipFit | None:
    """Return how good the fit in an npz of `count` frames is; None where pmnet has not fitted it.

    Raises InputError naming the key at fault.
    """
    if "residuals_mm" not in values or "fitted" not in values:
        return None
    residuals = array(path, values, "residuals_mm", (count, None))
    points = residuals.shape[1]
    joints = array(path, values, "latent_joints", (points,)).astype(int)
    sigma = np.full((count, len(JOINTS)), np.nan)
    if "sigma_mm" in values:
        sigma = array(path, values, "sigma_mm", (count, len(JOINTS)))
    fitted = array(path, values, "fitted", (count,)) > 0
    return ClipFit(
        residuals_mm=_by_joint(residuals, joints),
        sigma_mm=sigma,
        fitted=fitted,
        converged=array(path, values, "converged", (count,)) > 0,
        swapped=int((array(path, values, "swapped", (count, points)) > 0).sum()),
        dropped=int((array(path, values, "dropped", (count, points)) > 0).sum()),
        unfitted=int((~fitted).sum()),
        body=str(values.get("body", "")),
    )


def unknown_fit(count: int) -> ClipFit:
    """Return the fit of a clip that others have fitted: nothing is known of it."""
    unknown, all_true = np.full((count, len(JOINTS)), np.nan), np.ones(count, bool)
    return ClipFit(unknown, unknown, all_true, all_true, 0, 0, 0, "")


def _by_joint(residuals: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the mean of the points (T, M) of each joint, (T, 24), NaN where none was seen."""
    means = np.full((len(residuals), len(JOINTS)), np.nan)
    for joint in set(joints.tolist()) & set(range(len(JOINTS))):
        own = residuals[:, joints == joint]
        seen = np.isfinite(own)
        count = seen.sum(1)
        total = np.where(seen, own, 0).sum(1)
        means[:, joint] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


@dataclass(frozen=True)
class FittedSamples(Samples):
    """Samples with the residual and the spread of each joint (mm), and whether the fit settled.

    The file has these columns beside those of all samples; `Samples.load` leaves them out.
    """

    residuals_mm: Float[Tensor, "n 24"]
    sigma_mm: Float[Tensor, "n 24"]
    converged: Bool[Tensor, "n"]

    def save(self, path: Path) -> None:
        """Write one Arrow IPC file, whole or not at all."""
        with replacing(path) as partial:
            plain = partial.with_name(f"{partial.name}.plain")
            try:
                super().save(plain)
                table = open_arrow(plain, "samples", "ingest")
            finally:
                plain.unlink(missing_ok=True)
            for name, (width, meaning) in COLUMNS.items():
                values = pa.array(getattr(self, name).numpy().reshape(-1))
                if width > 1:
                    values = pa.FixedSizeListArray.from_arrays(values.cast(pa.float32()), width)
                field = pa.field(name, values.type, nullable=False, metadata={"meaning": meaning})
                table = table.append_column(field, values)
            with pa.ipc.new_file(str(partial), table.schema) as writer:
                writer.write_table(table)

    def select(self, rows: Tensor) -> "FittedSamples":
        """Return the samples with the indices `rows`, in that order."""
        quality: dict[str, Any] = {name: getattr(self, name)[rows] for name in COLUMNS}
        return FittedSamples(**vars(super().select(rows)), **quality)

    @staticmethod
    def load(path: Path) -> "FittedSamples | Samples":  # type: ignore[override]
        """Return the samples of a file, with the columns of fits where it has them."""
        samples = Samples.load(path)
        table = open_arrow(path, "samples", "ingest")
        if not set(COLUMNS) <= set(table.column_names):
            return samples
        quality: dict[str, Any] = {}
        for name, (width, _) in COLUMNS.items():
            column = table[name].combine_chunks()
            values = (column.flatten() if width > 1 else column).to_numpy(zero_copy_only=False)
            tensor = torch.from_numpy(values.copy())
            quality[name] = tensor.view(-1, width) if width > 1 else tensor
        return FittedSamples(**vars(samples), **quality)
