"""What the page shows of single samples, in one file (.npz): pictures, bodies, prototypes and errors.

`predicting.predict_samples` makes it, `PageSamples.load` reads it. Its arrays, for R runs, N samples and
M bodies:

    header       JSON: version, body (sha256), form, selection, protocol, and the runs with their labels
    bodies       (M, 85) float32: rotation vectors (rad), betas, camera (s, tx, ty); form "numbers"
                 (M, V, 3) int16: posed vertices in steps of STEP_M, relative to the pelvis; form "vertices"
    faces        (F, 3) of the vertices; (0, 3) in the form "numbers"
    truth        (N,) rows of `bodies`, -1 without a true body
    predicted    (R, N) rows of `bodies`
    first        (R + 1,) where the prototypes of each run begin in `bodies`; they come first
    sizes        (P,) training samples of each prototype
    assigned, chosen    (R, N) prototypes, numbered within the run; -1: not known
    errors_mm    (R, N, 3) MPVPE, MPJPE, PA-MPJPE, as evaluated; NaN: not measured
    distance_mm  (N,) to the mean body; NaN: not known
    dataset, sequence, subject    (N,) texts;    sample    (N,) rows in the data set
    pictures     bytes of all WebP files,  picture_ends  (N,) where each ends
    log          (L, 4) run, step, loss, accuracy: the training log of the seed that is shown, thinned
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from annotated_types import MinLen
from jaxtyping import Float, Int, Shaped, UInt8

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.header import read_header
from pmnet.core.ranges import Count
from pmnet.formats.npz import read_npz

VERSION: Final = 1
CURE: Final = "run the stage page_samples"
NUMBERS: Final = 85  # 24 rotation vectors, 10 betas, camera (s, tx, ty)
STEP_M: Final = 2.5e-4  # of vertices: at most 0.13 mm off


@dataclass(frozen=True)
class PageRun:
    """A run on the page: its memory, and the seed whose predictions are shown."""

    name: str
    method: str
    label: str
    k: Count
    seed: int


@dataclass(frozen=True)
class PageHeader:
    """The header of a file of samples for the page."""

    version: Literal[1]
    body: str
    form: Literal["numbers", "vertices"]
    selection: str
    protocol: str
    runs: Annotated[list[PageRun], MinLen(1)]


@dataclass(frozen=True)
class PageSamples:
    """The samples of a page; the module says what each array is."""

    header: PageHeader
    bodies: Shaped[np.ndarray, "m ..."]
    faces: Int[np.ndarray, "f 3"]
    truth: Int[np.ndarray, "n"]
    predicted: Int[np.ndarray, "r n"]
    first: Int[np.ndarray, "r+1"]
    sizes: Int[np.ndarray, "p"]
    assigned: Int[np.ndarray, "r n"]
    chosen: Int[np.ndarray, "r n"]
    errors_mm: Float[np.ndarray, "r n 3"]
    distance_mm: Float[np.ndarray, "n"]
    dataset: Shaped[np.ndarray, "n"]
    sequence: Shaped[np.ndarray, "n"]
    subject: Shaped[np.ndarray, "n"]
    sample: Int[np.ndarray, "n"]
    pictures: UInt8[np.ndarray, "b"]
    picture_ends: Int[np.ndarray, "n"]
    log: Float[np.ndarray, "l 4"]

    def __len__(self) -> int:
        return len(self.sample)

    def picture(self, row: int) -> bytes:
        """Return the WebP file of a sample."""
        start = int(self.picture_ends[row - 1]) if row else 0
        return self.pictures[start : int(self.picture_ends[row])].tobytes()

    def save(self, path: Path) -> None:
        """Write one .npz file, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays["header"] = np.array(json.dumps(asdict(self.header)))
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    @staticmethod
    def load(path: Path) -> "PageSamples":
        """Return the samples in a file; raises InputError where it is missing, damaged or another file."""
        if not path.is_file():
            raise InputError(f"{path}: no such file of samples for the page; {CURE}")
        values = read_npz(path, ("header", *ARRAYS))
        fault = "not samples for the page"
        header: PageHeader = read_header(
            PageHeader, str(values.get("header", "null")), path, fault, CURE
        )
        if missing := [name for name in ARRAYS if name not in values]:
            raise InputError(f"{path}: {fault} ({', '.join(missing)} is missing); {CURE}")
        if wrong := _fault(header, values):
            raise InputError(f"{path}: {fault} ({wrong}); {CURE}")
        return PageSamples(header, **{name: values[name] for name in ARRAYS})


ARRAYS: Final = tuple(field.name for field in fields(PageSamples) if field.name != "header")
KINDS: Final = {  # of each array: its kind, and its shape in the module's letters
    "faces": ("iu", "f3"),
    "truth": ("i", "n"),
    "predicted": ("i", "rn"),
    "sizes": ("i", "p"),
    "assigned": ("i", "rn"),
    "chosen": ("i", "rn"),
    "errors_mm": ("f", "rn3"),
    "distance_mm": ("f", "n"),
    "dataset": ("U", "n"),
    "sequence": ("U", "n"),
    "subject": ("U", "n"),
    "sample": ("i", "n"),
    "pictures": ("u", "b"),
    "picture_ends": ("i", "n"),
    "log": ("f", "l4"),
}


def _fault(header: PageHeader, values: dict[str, np.ndarray]) -> str:
    """Return what is wrong with the arrays of a file, or nothing."""
    bodies, first = values["bodies"], values["first"]
    form = ("f", 2, NUMBERS) if header.form == "numbers" else ("i", 3, 3)
    if (bodies.dtype.kind, bodies.ndim, bodies.shape[-1]) != form:
        return f"bodies is {bodies.dtype} {bodies.shape}"
    sizes: dict[str, int] = {"r": len(header.runs), "3": 3, "4": 4, "n": len(values["sample"])}
    for name, (kind, shape) in KINDS.items():
        array = values[name]
        expected = tuple(sizes.setdefault(s, n) for s, n in zip(shape, array.shape, strict=False))
        if array.dtype.kind not in kind or array.shape != expected or array.ndim != len(shape):
            return f"{name} is {array.dtype} {array.shape}"
    if not sizes["n"]:
        return "it has no samples"
    if first.shape != (sizes["r"] + 1,) or first.dtype.kind != "i" or first[0] != 0:
        return "first does not say where the prototypes begin"
    counts = np.diff(first)
    if (counts < 1).any() or first[-1] != sizes["p"] or sizes["p"] > len(bodies):
        return "first does not fit the prototypes"
    ends = np.concatenate([[0], values["picture_ends"]])
    if (np.diff(ends) < 0).any() or ends[-1] != sizes["b"]:
        return "picture_ends does not fit the pictures"
    ranges = (
        ("truth", -1, len(bodies)),
        ("predicted", 0, len(bodies)),
        ("assigned", -1, counts[:, None]),
        ("chosen", -1, counts[:, None]),
        ("faces", 0, bodies.shape[1]),
    )
    for name, least, end in ranges:
        if (values[name] < least).any() or (values[name] >= end).any():
            return f"{name} names rows that are not there"
    if header.form == "numbers" and not np.isfinite(bodies).all():
        return "bodies has numbers that are not finite"
    return ""


def as_json(samples: PageSamples) -> dict[str, Any]:
    """Return what the page needs of the samples beside bodies and pictures, as plain values."""
    return {
        "form": samples.header.form,
        "selection": samples.header.selection,
        "runs": [asdict(run) for run in samples.header.runs],
        "first": samples.first.tolist(),
        "sizes": samples.sizes.tolist(),
        "truth": samples.truth.tolist(),
        "predicted": samples.predicted.tolist(),
        "assigned": samples.assigned.tolist(),
        "chosen": samples.chosen.tolist(),
        "errors": [[[_plain(x) for x in row] for row in run] for run in samples.errors_mm.tolist()],
        "distance": [_plain(x) for x in samples.distance_mm.tolist()],
        "dataset": samples.dataset.tolist(),
        "sequence": samples.sequence.tolist(),
        "subject": samples.subject.tolist(),
        "sample": samples.sample.tolist(),
    }


def _plain(number: float) -> float | None:
    """Return a number with two decimals; None for NaN, which JSON has not."""
    return round(number, 2) if number == number else None
