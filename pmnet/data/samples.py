"""Samples: the table of a data set on disk, one Arrow IPC file, memory-mapped when read."""

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.camera import px_to_crop
from pmnet.body.params import BodyParams
from pmnet.core.arrow import open_arrow
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.header import read_header
from pmnet.core.ranges import Amount

VERSION: Final = 2
LARGEST: Final = 1000.0  # rad, and standard deviations: no body is near that
JointSet = Literal["smpl24", "j24"]  # the kinds of 24 keypoints

# column -> (numbers per row, meaning and unit)
NUMBERS: Final[dict[str, tuple[int, str]]] = {
    "global_orient": (3, "rotation vector of the root in the camera frame (y down), rad"),
    "body_pose": (69, "rotation vectors of the 23 other joints relative to the parent, rad"),
    "betas": (10, "shape coefficients, standard deviations"),
    "keypoints_2d": (72, "24 x (x, y, confidence), px of the image, confidence 0 to 1"),
    "keypoints_3d": (96, "24 x (x, y, z, confidence), m, camera frame, relative to the pelvis"),
    "camera": (3, "weak perspective (s, tx, ty) in the crop; NaN where unknown"),
    "center": (2, "centre of the person's box, px"),
    "scale": (1, "width of the square box, 200 px"),
}
FLAGS: Final[dict[str, str]] = {
    "has_smpl": "global_orient, body_pose and betas are valid",
    "has_keypoints_3d": "keypoints_3d is valid",
}
TEXTS: Final[dict[str, str]] = {
    "image_name": "file relative to the data set's root; a name only where images are rendered",
    "subject": "who is seen",
    "gender": "of the body model that the betas belong to: neutral, male or female; empty: unknown",
    "sequence": "clip: samples of one sequence are not independent",
}


@dataclass(frozen=True)
class About:
    """The header of a file of samples.

    `joints` is the kind of the 24 keypoints: "smpl24", the skeleton's joints, or "j24", the annotated
    joints of `pmnet.body.keypoints`; `measured` names the joints among them for MPJPE: "smpl24", "j14" or
    "j17". `pixels` is "render" where the images are drawn from the parameters, and "files" where
    `image_name` is a file below `root`. `body` is the sha256 of the body model that the betas belong to.
    `turned` is the pattern of the image names whose pixels are stored on their side: a quarter turn
    clockwise brings them to their labels ("": none). `counts` are the numbers of rows that ingestion read,
    kept and dropped, by rule.
    """

    dataset: str
    joints: JointSet
    pixels: Literal["render", "files"]
    body: str
    measured: Literal["smpl24", "j14", "j17"] = "smpl24"
    root: str = ""
    counts: dict[str, Amount] = field(default_factory=dict)
    turned: str = ""


@dataclass(frozen=True)
class _Version:
    version: Literal[2]


@dataclass(frozen=True)
class Samples:
    """N samples of one data set; NUMBERS, FLAGS and TEXTS give the meaning of the columns."""

    about: About
    global_orient: Float[Tensor, "n 3"]
    body_pose: Float[Tensor, "n 69"]
    betas: Float[Tensor, "n 10"]
    keypoints_2d: Float[Tensor, "n 24 3"]
    keypoints_3d: Float[Tensor, "n 24 4"]
    camera: Float[Tensor, "n 3"]
    center: Float[Tensor, "n 2"]
    scale: Float[Tensor, "n"]
    has_smpl: Bool[Tensor, "n"]
    has_keypoints_3d: Bool[Tensor, "n"]
    image_name: list[str]
    subject: list[str]
    gender: list[str]
    sequence: list[str]

    def __len__(self) -> int:
        return len(self.betas)

    def is_measurable(self) -> bool:
        """Return whether errors can be measured on any sample: it has a body or 3D joints."""
        return bool((self.has_smpl | self.has_keypoints_3d).any())

    def body_params(self, rows: Tensor | slice = slice(None)) -> BodyParams:
        """Return the pose and shape of `rows` as rotation matrices and betas."""
        rotvecs = torch.cat([self.global_orient[rows], self.body_pose[rows]], 1)
        return BodyParams.from_rotvecs(rotvecs.view(len(rotvecs), 24, 3), self.betas[rows])

    def keypoints_in_crop(self) -> Float[Tensor, "n 24 2"]:
        """Return the 2D keypoints in crop coordinates, -1 to 1."""
        return px_to_crop(self.keypoints_2d[..., :2], self.center, self.scale)

    def select(self, rows: Tensor) -> "Samples":
        """Return the samples with the indices `rows`, in that order."""
        picked: dict[str, Any] = {"about": self.about}
        for name in (*NUMBERS, *FLAGS):
            picked[name] = getattr(self, name)[rows]
        for name in TEXTS:
            texts = getattr(self, name)
            picked[name] = [texts[row] for row in rows.tolist()]
        return Samples(**picked)

    def save(self, path: Path) -> None:
        """Write one Arrow IPC file, whole or not at all."""
        n = len(self)
        arrays: list[pa.Array] = []
        for name, (width, _) in NUMBERS.items():
            flat = getattr(self, name).float().reshape(n * width).numpy()
            values = pa.array(flat, pa.float32())
            arrays.append(pa.FixedSizeListArray.from_arrays(values, width) if width > 1 else values)
        arrays += [pa.array(getattr(self, name).numpy()) for name in FLAGS]
        arrays += [pa.array(getattr(self, name), pa.string()) for name in TEXTS]
        schema = _schema().with_metadata({"pmnet.samples": json.dumps(self._header())})
        with replacing(path) as partial, pa.ipc.new_file(str(partial), schema) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=schema))

    def _header(self) -> dict[str, Any]:
        header = {"version": VERSION, **asdict(self.about)}
        return {key: value for key, value in header.items() if (key, value) != ("turned", "")}

    @staticmethod
    def load(path: Path) -> "Samples":
        """Return the samples of a file; the numbers stay memory-mapped.

        Raises InputError where the file is missing, broken, has another version, or holds a NaN.
        """
        table = open_arrow(path, "samples", "ingest")
        about = _read_about(path, table)
        columns: dict[str, Any] = {}
        for name, (width, _) in NUMBERS.items():
            columns[name] = _tensor(table[name], width, len(table))
        for name in FLAGS:
            columns[name] = torch.from_numpy(table[name].to_numpy(zero_copy_only=False).copy())
        for name in TEXTS:
            columns[name] = table[name].to_pylist()
        columns["keypoints_2d"] = columns["keypoints_2d"].view(-1, 24, 3)
        columns["keypoints_3d"] = columns["keypoints_3d"].view(-1, 24, 4)
        samples = Samples(about, **columns)
        samples.check(str(path))
        return samples

    def check(self, where: str) -> None:
        """Raise InputError where a number is NaN or infinite, or no angle or shape of a body.

        `where` names the source. Cameras may be NaN.
        """
        for name in (name for name in NUMBERS if name != "camera"):
            finite = torch.isfinite(getattr(self, name)).reshape(len(self), NUMBERS[name][0])
            bad = ~finite.all(1)
            if bad.any():
                row = int(bad.nonzero()[0])
                raise InputError(
                    f"{where}: {name} of row {row} ({self.image_name[row]}) is NaN or infinite, as are "
                    f"{int(bad.sum())} of {len(self)} rows in all; drop or mend these rows at their source"
                )
        for name in ("global_orient", "body_pose", "betas"):
            too_large = (getattr(self, name).abs() > LARGEST).any(1)
            if too_large.any():
                row = int(too_large.nonzero()[0])
                raise InputError(
                    f"{where}: {name} of row {row} ({self.image_name[row]}) is beyond {LARGEST:g}; drop or "
                    "mend this row at its source"
                )

    @staticmethod
    def cat(parts: "list[Samples]") -> "Samples":
        """Return the samples of all parts, in order; all must have the same body and joints."""
        first = parts[0].about
        for part in parts[1:]:
            if (part.about.body, part.about.joints) != (first.body, first.joints):
                raise InputError(
                    f"{first.dataset} and {part.about.dataset} have different body models or joint "
                    "orders; ingest both with the same body.file"
                )
        if len(parts) == 1:
            return parts[0]
        merged: dict[str, Any] = {"about": first}
        for name in (*NUMBERS, *FLAGS):
            merged[name] = torch.cat([getattr(part, name) for part in parts])
        for name in TEXTS:
            merged[name] = [text for part in parts for text in getattr(part, name)]
        return Samples(**merged)


def _schema() -> pa.Schema:
    def column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
        return pa.field(name, kind, nullable=False, metadata={"meaning": meaning})

    def kind(width: int) -> pa.DataType:
        return pa.list_(pa.float32(), width) if width > 1 else pa.float32()

    return pa.schema(
        [column(name, kind(width), meaning) for name, (width, meaning) in NUMBERS.items()]
        + [column(name, pa.bool_(), meaning) for name, meaning in FLAGS.items()]
        + [column(name, pa.string(), meaning) for name, meaning in TEXTS.items()]
    )


def _read_about(path: Path, table: pa.Table) -> About:
    header = (table.schema.metadata or {}).get(b"pmnet.samples", b"null")
    fault, cure = f"not samples of version {VERSION}", "ingest the data set again"
    read_header(_Version, header, path, fault, cure)
    about: About = read_header(About, header, path, fault, cure)
    for column in _schema():
        here = table.schema.get_all_field_indices(column.name)
        if len(here) != 1 or table.schema.field(here[0]).type != column.type:
            raise InputError(f"{path}: column {column.name} must be of type {column.type}; {cure}")
        if _has_nulls(table[column.name]):
            raise InputError(f"{path}: column {column.name} has rows without a value; {cure}")
    return about


def _has_nulls(column: pa.ChunkedArray) -> bool:
    inner = (chunk.flatten() for chunk in column.chunks if pa.types.is_fixed_size_list(chunk.type))
    return bool(column.null_count) or any(values.null_count for values in inner)


def _tensor(column: pa.ChunkedArray, width: int, rows: int) -> Tensor:
    chunks = [(chunk.flatten() if width > 1 else chunk).to_numpy() for chunk in column.chunks]
    flat = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.float32), *chunks])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # the file is mapped read-only, and nothing writes to it
        tensor = torch.from_numpy(flat)
    return tensor.view(rows, width) if width > 1 else tensor


def all_samples(files: list[Path], body: BodyModel) -> Samples:
    """Return the samples of all files, in order; raises InputError where one has another body model."""
    return Samples.cat(load_all(files, body))


def load_all(files: list[Path], body: BodyModel) -> list[Samples]:
    """Return the samples of each file; raises InputError where one has another body model."""
    tables = [Samples.load(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.about.body != body.sha256:
            raise InputError(
                f"{file}: ingested with another body model than the one given; run ingest again"
            )
    return tables
