"""The images of one data set in one file: Arrow IPC, raw or JPEG, memory-mapped, random access.

Images may be stored larger than the network's input, at the same scale, so that augmentation can turn and
scale them without empty edges. The network's input is the centre of the stored image.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import pyarrow as pa
import torch
from annotated_types import Interval
from jaxtyping import Bool, Int, Shaped, UInt8
from torch import Tensor

from pmnet.core.arrow import open_arrow
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.header import read_header
from pmnet.data.samples import Samples

VERSION: Final = 2
NO_IMAGES: Final = f"holds no images of version {VERSION}"
START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of JPEG
Encoding = Literal["raw", "jpeg"]
SizePx = Annotated[int, Interval(ge=8, le=4096)]
Context = Annotated[float, Interval(ge=1.0, le=4.0)]


@dataclass(frozen=True)
class _Header:
    """The header of a file of images."""

    version: Literal[2]
    size_px: SizePx
    context: Context
    encoding: Encoding


def encode(images: UInt8[Tensor, "n 3 s s"], encoding: Encoding, jpeg_quality: int) -> list[bytes]:
    """Return the stored bytes of each image: raw (s, s, 3) or JPEG."""
    if encoding == "raw":
        return [image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in images]
    from torchvision.io import encode_jpeg  # torchvision takes seconds to import

    return [encode_jpeg(image, jpeg_quality).numpy().tobytes() for image in images]


def stored_side(size_px: int, context: float) -> int:
    """Return the side (px) of an image that shows `context` times the box of its person.

    It is about `size_px` * `context`, and even where `size_px` is, so that the crop lies on whole pixels.
    """
    return size_px + 2 * round(size_px * (context - 1) / 2)


def write_pixels(
    path: Path,
    batches: Iterable[Sequence[bytes | None]],
    size_px: int,
    encoding: Encoding,
    context: float = 1.0,
) -> None:
    """Write encoded images of side `stored_side`, in order, as one file, whole or not at all.

    None stands for a missing image: it is stored black, and marked as not `present`.
    """
    side = stored_side(size_px, context)
    header = {"version": VERSION, "size_px": size_px, "context": context, "encoding": encoding}
    schema = _columns(side, encoding).with_metadata({"pmnet.pixels": json.dumps(header)})
    kind = schema.field("pixels").type
    black = encode(torch.zeros(1, 3, side, side, dtype=torch.uint8), encoding, 90)[0]
    with replacing(path) as partial, pa.ipc.new_file(str(partial), schema) as writer:
        for batch in batches:
            images = pa.array([black if image is None else image for image in batch], kind)
            present = pa.array([image is not None for image in batch], pa.bool_())
            writer.write_batch(pa.record_batch([images, present], schema=schema))


def _columns(side: int, encoding: Encoding) -> pa.Schema:
    kind = pa.binary(3 * side**2) if encoding == "raw" else pa.large_binary()
    columns = [("pixels", kind), ("present", pa.bool_())]
    return pa.schema([pa.field(name, of, nullable=False) for name, of in columns])


def centre(images: Shaped[Tensor, "n 3 s s"], size_px: int) -> Shaped[Tensor, "n 3 t t"]:
    """Return the middle `size_px` of stored images: the box of the person without context."""
    margin = (images.shape[-1] - size_px) // 2
    inside = slice(margin, margin + size_px)
    return images[..., inside, inside]


class Pixels:
    """The images of a data set; row i belongs to sample i.

    `size_px` is the side of the network's input, `stored_px` the side of the stored image, `context`
    their ratio. Rows that are not `present` are black: their file was missing or broken.
    """

    def __init__(self, path: Path) -> None:
        """Open a file; raises InputError where it is missing, broken or empty."""
        table = open_arrow(path, "images", "images")
        cure = "run the images stage"
        content = (table.schema.metadata or {}).get(b"pmnet.pixels", b"null")
        header: _Header = read_header(_Header, content, path, NO_IMAGES, cure)
        self.size_px, self.encoding = header.size_px, header.encoding
        self.stored_px = stored_side(self.size_px, header.context)
        self.context = self.stored_px / self.size_px
        columns = _columns(self.stored_px, self.encoding)
        has_columns = (table.schema.names, table.schema.types) == (columns.names, columns.types)
        if not len(table) or not has_columns:
            raise InputError(f"{path}: {NO_IMAGES}; {cure}")
        if any(column.null_count for column in table.columns):
            raise InputError(f"{path}: has rows without a value; {cure}")
        self.present: Bool[Tensor, "n"] = torch.from_numpy(table["present"].to_numpy().copy())
        self._path, self._column = path, table["pixels"]
        if self.encoding == "raw":
            self._raw = [self._as_array(chunk) for chunk in self._column.chunks]
            self._ends = np.cumsum([len(chunk) for chunk in self._raw])

    def __len__(self) -> int:
        return len(self._column)

    def read(self, rows: Int[Tensor, "n"]) -> UInt8[Tensor, "n 3 s s"]:
        """Return the images of `rows` as the network sees them: the box of the person."""
        return centre(self.read_stored(rows), self.size_px)

    def read_stored(self, rows: Int[Tensor, "n"]) -> UInt8[Tensor, "n 3 s s"]:
        """Return the images of `rows` with their context."""
        images = torch.empty(len(rows), self.stored_px, self.stored_px, 3, dtype=torch.uint8)
        self.fill(rows, images)
        return images.permute(0, 3, 1, 2)

    def fill(self, rows: Int[Tensor, "n"], out: UInt8[Tensor, "n s s 3"]) -> None:
        """Write the images of `rows`, with their context, to `out`."""
        if self.encoding == "raw":
            self._gather(rows.numpy(), out.numpy())
            return
        from torchvision.io import ImageReadMode, decode_jpeg

        for image, row in zip(out, rows.tolist(), strict=True):
            encoded = np.frombuffer(self._column[row].as_buffer(), np.uint8)
            try:
                _refuse_size(encoded, self.stored_px)
                decoded = decode_jpeg(torch.from_numpy(encoded.copy()), ImageReadMode.RGB)
            except (RuntimeError, ValueError) as error:
                raise InputError(
                    f"{self._path}: image {row} is damaged ({error}); run the images stage"
                ) from None
            image.copy_(decoded.permute(1, 2, 0))

    def _as_array(self, chunk: pa.Array) -> np.ndarray:
        shape = (len(chunk), self.stored_px, self.stored_px, 3)
        start = chunk.offset * 3 * self.stored_px**2
        buffer = chunk.buffers()[1]
        return np.frombuffer(buffer, np.uint8, int(np.prod(shape)), start).reshape(shape)

    def _gather(self, rows: np.ndarray, images: np.ndarray) -> None:
        chunks = np.searchsorted(self._ends, rows, side="right")
        for image, row, chunk in zip(images, rows, chunks, strict=True):
            image[...] = self._raw[chunk][row - self._ends[chunk]]


def _refuse_size(jpeg: np.ndarray, side: int) -> None:
    """Raise ValueError where a JPEG says another size: a few bytes may stand for gigabytes of pixels."""
    at, content = 2, jpeg.tobytes()
    while at + 9 <= len(content):
        prefix, marker, length, _, height, width = struct.unpack_from(">BBHBHH", content, at)
        if prefix != 0xFF:
            break
        if marker in START_OF_FRAME:
            if (height, width) != (side, side):
                raise ValueError(f"it is of {width} x {height} px, not of {side} x {side}")
            return
        at += 2 + length
    raise ValueError("it says no size")


def check_images(file: Path, table: Samples, pixels: "Pixels") -> None:
    """Raise InputError where a data set does not have one image per sample."""
    if len(table) != len(pixels):
        raise InputError(
            f"{file}: {len(table)} samples, but {len(pixels)} images; run the images stage again"
        )
