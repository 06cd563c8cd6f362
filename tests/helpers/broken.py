"""Breaks files as a bad disk or a cut download would."""

import zipfile
from pathlib import Path

import numpy as np


def cut(path: Path, share: float) -> None:
    """Keep only the first `share` of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def spoil(path: Path) -> None:
    """Compress the arrays of an .npz and make the first of them impossible to decompress."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    np.savez_compressed(path, **arrays)
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    content = bytearray(path.read_bytes())
    name, extra = (
        int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28)
    )
    content[start + 30 + name + extra] = 0xFF  # a kind of block that deflate does not know
    path.write_bytes(content)
