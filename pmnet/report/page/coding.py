"""Arrays as text inside the page: whole numbers of 16 bits, zigzag, byte planes, deflated, base64.

`assets/data.js` undoes it with the browser's own DecompressionStream.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.parts import PARENTS
from pmnet.report.page.samples import STEP_M, PageSamples

LEVEL: Final = 9  # of deflate
MODEL_STEP_M: Final = 5e-5  # of the open body: template and blend shapes
WEIGHT_STEP: Final = 1 / 32767
LIMIT: Final = 32767


def packed(numbers: Int[np.ndarray, "..."]) -> str:
    """Return numbers from -32768 to 32767 as text: small numbers of either sign have equal high bytes."""
    wide = numbers.astype(np.int32).ravel()
    if wide.size and not -LIMIT - 1 <= wide.min() <= wide.max() <= LIMIT:
        raise ValueError(f"numbers from {wide.min()} to {wide.max()} do not fit in 16 bits")
    zigzag = ((wide << 1) ^ (wide >> 31)).astype(np.uint16)
    planes = zigzag.view(np.uint8).reshape(-1, 2).T
    return base64.b64encode(zlib.compress(planes.tobytes(), LEVEL)).decode()


@dataclass(frozen=True)
class Packed:
    """An array of the page: its text, its shape, and the unit of its whole numbers."""

    text: str
    shape: tuple[int, ...]
    step: float | list[float]  # of all numbers, or of each column

    @property
    def about(self) -> dict[str, Any]:
        """Return what the page must know to unpack the text."""
        return {"shape": self.shape, "step": self.step}


def rounded(numbers: Float[np.ndarray, "..."], step: float) -> Packed:
    """Return numbers in whole steps."""
    return Packed(packed(np.round(numbers / step).astype(np.int64)), numbers.shape, step)


def rounded_by_column(numbers: Float[np.ndarray, "n c"]) -> Packed:
    """Return numbers in steps of each column, by which its largest number takes 16 bits; at least 1e-9."""
    steps = np.maximum(np.abs(numbers).max(0, initial=0) / LIMIT, 1e-9).astype(np.float64)
    whole = np.round(numbers / steps).clip(-LIMIT, LIMIT).astype(np.int64)
    return Packed(packed(whole.T), numbers.shape, [float(f"{step:.7g}") for step in steps])


def arrays_of(samples: PageSamples) -> dict[str, Packed]:
    """Return the arrays of the page: bodies and faces, and of the open body what poses it."""
    if samples.header.form == "vertices":
        deltas = np.diff(samples.bodies.astype(np.int32), axis=1, prepend=0)
        bodies = Packed(packed(_wrapped(deltas)), samples.bodies.shape, STEP_M)
        return {"bodies": bodies, "faces": _faces(samples.faces)}
    return {"bodies": rounded_by_column(samples.bodies), **_model_arrays(BodyModel.load(OPEN_BODY))}


def _model_arrays(body: BodyModel) -> Mapping[str, Packed]:
    """Return template and blend shapes (m), skinning weights, joints (m) and the tree of a body.

    Of the blend shapes only vertices that move are written: `counts` per feature, `moved` as differences
    between vertices, `offsets` by axis.
    """
    template, directions = (part.numpy() for part in body.rest_shape())
    steps = np.round(directions / MODEL_STEP_M).astype(np.int64)
    features, vertices = np.nonzero((steps != 0).any(1))
    counts = np.bincount(features, minlength=len(steps))
    starts = np.cumsum(counts) - counts
    deltas = np.diff(vertices, prepend=0)
    deltas[starts[counts > 0]] = vertices[starts[counts > 0]]
    offsets = steps[features, :, vertices].T
    zero = body.faces.new_zeros(1, 10).float()
    rest = body.rest_joints(zero)[0].numpy()
    unit = [zero.index_fill(1, body.faces.new_tensor([k]), 1.0) for k in range(10)]
    joints = np.stack([rest, *(body.rest_joints(each)[0].numpy() - rest for each in unit)])
    return {
        "template": rounded(template, MODEL_STEP_M),
        "counts": Packed(packed(counts), counts.shape, 1.0),
        "moved": Packed(packed(deltas), deltas.shape, 1.0),
        "offsets": Packed(packed(offsets), offsets.shape, MODEL_STEP_M),
        "weights": rounded(body.lbs_weights.T.numpy(), WEIGHT_STEP),
        "joints": rounded(joints, MODEL_STEP_M),
        "parents": Packed(packed(np.array(PARENTS)), (24,), 1.0),
        "faces": _faces(body.faces.numpy()),
    }


def _faces(faces: Int[np.ndarray, "f 3"]) -> Packed:
    """Return faces as differences along the corners."""
    deltas = np.diff(faces.astype(np.int32).ravel(), prepend=0)
    return Packed(packed(_wrapped(deltas)), faces.shape, 1.0)


def _wrapped(deltas: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Return differences modulo 2^16: sums of 16 bits undo them."""
    return deltas.astype(np.int16)
