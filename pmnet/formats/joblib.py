"""Reads the pickles of joblib (PyMAF's and WHAM's demos) as plain arrays; nothing in them is run.

joblib pickles a small object in the place of an array, and writes the bytes of the array right behind it,
in the midst of the pickle. Here the object and its bytes become what `pickles` knows: an array that is made
from a buffer.
"""

import io
import math
import operator
import zlib
from pathlib import Path
from typing import Any, ClassVar, Final

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special
from pmnet.formats.pickles import (
    _STUBS,
    MAX_EXPANSION_BYTES,
    _Decoder,
    _diagnosis,
    _Stub,
    _Unpickler,
    _Unreadable,
)

MODULE: Final = b"joblib.numpy_pickle"
LOOKED_AT: Final = 4096  # bytes at the start in which the first array is named
ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b")
EITHER_HEADER: Final = 47  # of zlib or of gzip
_MEND: Final = "Download it again, or give another file."


class _Wrapper(_Stub):
    """Stands for joblib's object in the place of an array."""

    __slots__ = ()


class _JoblibUnpickler(_Unpickler):
    stack: list[Any]

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, any_class=False)
        self._stream = stream

    def find_class(self, module: str, name: str) -> type[_Stub]:
        if (module, name) == (MODULE.decode(), "NumpyArrayWrapper"):
            return _Wrapper
        return super().find_class(module, name)

    def load_build(self) -> None:
        _Unpickler._standard[b"b"[0]](self)
        if isinstance(self.stack[-1], _Wrapper):
            self.stack[-1] = self._array(self.stack[-1].state)

    def _array(self, state: dict[str, Any]) -> Any:
        """Return the array whose bytes follow in the stream, as `pickles` would see it."""
        dtype = state["dtype"]
        if _Decoder(0)._dtype(dtype).hasobject:
            return _Unpickler(self._stream, any_class=False).load()  # a pickle of its own
        if state.get("numpy_array_alignment_bytes") is not None:
            self._stream.read(self._stream.read(1)[0])
        shape = tuple(operator.index(length) for length in state["shape"])
        held = math.prod(shape) * _Decoder(0)._dtype(dtype).itemsize
        content = self._stream.read(max(held, 0))
        if len(content) < held or min(shape, default=0) < 0:
            raise EOFError
        order = "F" if state["order"] == "F" else "C"
        return _STUBS["_frombuffer"](content, dtype, shape, order)

    dispatch: ClassVar[dict[int, Any]] = _Unpickler.dispatch | {b"b"[0]: load_build}


def is_joblib(path: Path) -> bool:
    """Return whether a file is a pickle of joblib with arrays, or one that zlib has compressed."""
    refuse_special(path)
    with path.open("rb") as stream:
        start = stream.read(LOOKED_AT)
    return MODULE in start or start.startswith(ZLIB)


def read_joblib(path: Path) -> Any:
    """Return the value of a file of `joblib.dump`: plain containers, texts, numbers and arrays.

    Compressed files are read where zlib or gzip compressed them. Raises InputError where the file holds
    anything else, is cut, or stands for far more bytes than it has.
    """
    refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    stream, decoder = io.BytesIO(), _Decoder(0)
    try:
        if content.startswith(ZLIB):
            content = _inflated(content, largest_content(path))
        stream, decoder = io.BytesIO(content), _Decoder(len(content) + MAX_EXPANSION_BYTES)
        return decoder.value(_JoblibUnpickler(stream).load())
    except Exception as error:  # bytes that are no such file fail in a dozen ways
        place = f", at {place}," if (place := "".join(decoder.place)) else ""
        reason = _diagnosis(error, content, stream.tell())
        raise InputError(f"{path}{place} {reason}") from error


def _inflated(content: bytes, most: int) -> bytes:
    engine = zlib.decompressobj(EITHER_HEADER)
    inflated = engine.decompress(content, most)
    if engine.unconsumed_tail:
        raise _Unreadable(f"takes too much memory, over {most:,} bytes. {_MEND}")
    return inflated
