"""What a file of predictions holds, whatever its kind: dicts, lists, arrays, texts. Nothing in it is run."""

import math
import zipfile
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.lib import format as npy

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special
from pmnet.core.torch_files import load_torch
from pmnet.formats.joblib import is_joblib, read_joblib
from pmnet.formats.json import read_json
from pmnet.formats.kinds import cure_of
from pmnet.formats.npz import UNREADABLE, read_npz
from pmnet.formats.pickles import decode_pickle

SUFFIXES: Final = (".npz", ".json", ".pkl", ".pickle", ".pt", ".pth")
LOCAL_HEADER: Final = 30  # bytes of a zip before the name of a member


def read_content(path: Path) -> Any:
    """Return the value in a file of predictions.

    An array of an uncompressed npz stays on disk until its rows are used. Raises InputError where the file
    is missing, of another kind, damaged, or asks for code.
    """
    refuse_special(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of predictions; check the path")
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix in (".pt", ".pth") or zipfile.is_zipfile(path):
        return _arrays(load_torch(path, "file of predictions by torch.save"))
    if path.suffix in SUFFIXES:
        return read_joblib(path) if is_joblib(path) else decode_pickle(path.read_bytes(), str(path))
    raise InputError(f"{path}: expected predictions as one of {', '.join(SUFFIXES)}")


def _arrays(value: Any) -> Any:
    """Return a value with arrays in the place of tensors."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, Mapping):
        return {key: _arrays(own) for key, own in value.items()}
    return [_arrays(own) for own in value] if isinstance(value, list | tuple) else value


def _read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz, and what its arrays of objects hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            return {m.filename.removesuffix(".npy"): _member(path, archive, m) for m in members}
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz ({error}); {cure_of(path)}") from None


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    key = member.filename.removesuffix(".npy")
    if member.file_size > largest_content(path):
        raise InputError(f"{path}: {key!r} stands for far more bytes than the file has")
    with archive.open(member) as opened:
        stream = cast(BufferedIOBase, opened)
        first = npy.read_magic(stream) == (1, 0)
        read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
        if dtype.hasobject:
            return _unwrapped(decode_pickle(stream.read(), f"{path}: {key!r}"))
        start = stream.tell()
    stored = member.compress_type == zipfile.ZIP_STORED and dtype.kind in "fiu" and not is_fortran
    if stored and math.prod(shape) * dtype.itemsize == member.file_size - start and 0 not in shape:
        offset = _offset(path, member) + start
        if offset + math.prod(shape) * dtype.itemsize <= path.stat().st_size:
            return np.memmap(path, dtype, "r", offset, shape)
    return read_npz(path, (key,)).get(key)


def _offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset + LOCAL_HEADER - 4)
        lengths = stream.read(4)
    name, extra = (int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
    return member.header_offset + LOCAL_HEADER + name + extra


def _unwrapped(value: Any) -> Any:
    """Return the value in an array of one object, or a list of the objects in a longer one."""
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return value.item() if value.ndim == 0 else value.tolist()
    return value
