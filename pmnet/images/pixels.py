"""The images of one data set in one file: Arrow IPC, raw or JPEG, memory-mapped, random access."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from pmnet.errors import InputError
from pmnet.files import replacing

VERSION: Final = 1
Encoding = Literal["raw", "jpeg"]


def encode(images: UInt8[Tensor, "n 3 s s"], encoding: Encoding, jpeg_quality: int) -> list[bytes]:
    """Return each image as the bytes that are stored: raw (s, s, 3) or JPEG."""
    if encoding == "raw":
        return [image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in images]
    from torchvision.io import encode_jpeg  # torchvision takes seconds to import

    return [encode_jpeg(image, jpeg_quality).numpy().tobytes() for image in images]


def write_pixels(
    path: Path, batches: Iterable[list[bytes]], size_px: int, encoding: Encoding
) -> None:
    """Write encoded images, in order, as one file, whole or not at all."""
    kind = pa.binary(3 * size_px**2) if encoding == "raw" else pa.large_binary()
    header = {"version": VERSION, "size_px": size_px, "encoding": encoding}
    schema = pa.schema([pa.field("pixels", kind, nullable=False)])
    schema = schema.with_metadata({"pmnet.pixels": json.dumps(header)})
    with replacing(path) as partial, pa.ipc.new_file(str(partial), schema) as writer:
        for batch in batches:
            writer.write_batch(pa.record_batch([pa.array(batch, kind)], schema=schema))


class Pixels:
    """The images of a data set; row i belongs to sample i."""

    def __init__(self, path: Path) -> None:
        """Open a file; raises InputError where it is missing, broken or empty."""
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except FileNotFoundError:
            raise InputError(
                f"{path}: no such file of images; run the images stage first"
            ) from None
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: not a file of images, or cut short ({error})") from None
        header = json.loads((table.schema.metadata or {}).get(b"pmnet.pixels", b"{}"))
        if header.get("version") != VERSION or len(table) == 0:
            raise InputError(f"{path}: holds no images of version {VERSION}; run the images stage")
        self.size_px: int = header["size_px"]
        self.encoding: Encoding = header["encoding"]
        self._column = table["pixels"]
        if self.encoding == "raw":
            self._raw = [self._as_array(chunk) for chunk in self._column.chunks]
            self._ends = np.cumsum([len(chunk) for chunk in self._raw])

    def __len__(self) -> int:
        return len(self._column)

    def read(self, rows: Int[Tensor, "n"]) -> UInt8[Tensor, "n 3 s s"]:
        """Return the images of `rows`."""
        if self.encoding == "raw":
            return torch.from_numpy(self._gather(rows.numpy())).permute(0, 3, 1, 2)
        from torchvision.io import ImageReadMode, decode_jpeg

        encoded = [np.frombuffer(self._column[row].as_buffer(), np.uint8) for row in rows.tolist()]
        return torch.stack(
            [decode_jpeg(torch.from_numpy(one.copy()), ImageReadMode.RGB) for one in encoded]
        )

    def _as_array(self, chunk: pa.Array) -> np.ndarray:
        shape = (len(chunk), self.size_px, self.size_px, 3)
        start = chunk.offset * 3 * self.size_px**2
        buffer = chunk.buffers()[1]
        return np.frombuffer(buffer, np.uint8, int(np.prod(shape)), start).reshape(shape)

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), self.size_px, self.size_px, 3), np.uint8)
        chunks = np.searchsorted(self._ends, rows, side="right")
        for position, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            images[position] = self._raw[chunk][row - self._ends[chunk]]
        return images
