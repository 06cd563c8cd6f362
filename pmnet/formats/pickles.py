"""Reads the pickles of the field (SMPL bodies, 3DPW, UP-3D, MoSh) as plain arrays; nothing in them is run.

A pickle is a program that names functions and calls them. Here a name on a short list becomes an inert
stub; a file with any other name is refused. `_Decoder` then turns the stubs into arrays and checks each
count against the bytes in the file. The code of chumpy, scipy and numpy's unpickling is not used. Where a
caller asks for certain keys only, all other names become stubs too: they hold attributes, but no code.
"""

import io
import math
import operator
import pickle
import re
import reprlib
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from pmnet.core.errors import InputError
from pmnet.core.files import most_bytes, refuse_special, value_bytes
from pmnet.formats.kinds import cure_of

MAX_EXPANSION_BYTES = 64_000_000 * 8
"""Memory for arrays beyond the size of the file: a dense matrix of 64 million float64."""
MAX_DEPTH = 32
"""Nesting of values; real files stay below ten."""
MAX_CLASSES = 500
"""Classes that are not on the list, per file."""

# bytes of memory per opcode, for opcodes that make more than 20 bytes from one: containers, which are read
# and then decoded, marks, short texts, entries of the memo
_COSTS = {
    **dict.fromkeys((b"]", b"\x8f", b"}", b"\x85", b"\x86", b"\x87"), 280),
    **dict.fromkeys((b"(", b"\x8c"), 72),
    pickle.MEMOIZE: 100,
}

_MEND = "Download it again, or give another file."
_CONVERT = (
    "Only dicts, lists, strings, numbers and arrays of them are read, and nothing was run. If you "
    "trust the file, save it as a dict of plain numpy arrays with the software that made it."
)
_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,6}|O[48])")

_MODULES = {  # each global that a file may name, with its old and new modules
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "scalar": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "csc_matrix": ("scipy.sparse.csc", "scipy.sparse._csc"),
    "csr_matrix": ("scipy.sparse.csr", "scipy.sparse._csr"),
    "coo_matrix": ("scipy.sparse.coo", "scipy.sparse._coo"),
    "csc_array": ("scipy.sparse._csc",),
    "csr_array": ("scipy.sparse._csr",),
    "coo_array": ("scipy.sparse._coo",),
    "matrix": ("numpy", "numpy.matrixlib.defmatrix"),
    "Ch": ("chumpy.ch",),
    "Select": ("chumpy.reordering",),
    "encode": ("_codecs",),
    "_reconstructor": ("copy_reg", "copyreg"),
    "object": ("__builtin__", "builtins"),
    "bytes": ("__builtin__", "builtins"),
    "set": ("__builtin__", "builtins"),
}


class _Unreadable(Exception):
    """Why a file cannot be read, and what to do; `decode_pickle` adds the file and the place."""


def _refused(asked: str) -> _Unreadable:
    return _Unreadable(f"asks for {asked!r}, which is refused. {_CONVERT}")


def _not_of_arrays(what: str) -> _Unreadable:
    return _Unreadable(f"is no pickle of arrays: it has {what}, which is refused. {_MEND}")


class _Stub:
    """Stands for an allowed global or a call of it: keeps its arguments and state, and does nothing."""

    __slots__ = ("arguments", "state")
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: object) -> "_Stub":
        if len(arguments) > 5:  # a long list given to many calls would be copied each time
            raise _Unreadable(f"calls {cls.__name__} with {len(arguments)} arguments. {_MEND}")
        stub = super().__new__(cls)
        stub.arguments, stub.state = arguments, None
        return stub

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Foreign(_Stub):
    """Stands for an object of a class that is not on the list; items put into it are dropped."""

    __slots__ = ()

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass

    append = extend


_STUBS = {name: type(name, (_Stub,), {"__slots__": ()}) for name in _MODULES}


class _Dict(dict[Any, Any]):
    """A dict that refuses tuples as keys: hashing a deeply nested tuple overflows the C stack."""

    __slots__ = ()

    def __setitem__(self, key: object, value: object) -> None:
        if isinstance(key, tuple):
            raise _Unreadable(f"has a dict with a tuple as a key. {_CONVERT}")
        super().__setitem__(key, value)


# The unpickler written in Python: the one written in C allows no change of opcodes, and allocates
# whatever size a memo index or a byte count claims.
class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportPrivateUsage]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[object]]

    def __init__(self, stream: io.BytesIO, any_class: bool) -> None:
        super().__init__(stream, encoding="latin1")
        self._foreign: dict[str, type[_Stub]] = {}
        self._most = MAX_CLASSES if any_class else 0

    def find_class(self, module: str, name: str) -> type[_Stub]:
        if module in _MODULES.get(name, ()):
            return _STUBS[name]
        asked = f"{module}.{name}"[:200]
        if asked not in self._foreign:
            if len(self._foreign) >= self._most:
                raise _refused(asked)
            self._foreign[asked] = type(asked, (_Foreign,), {"__slots__": ()})
        return self._foreign[asked]

    def persistent_load(self, pid: object) -> object:
        raise _not_of_arrays(f"a persistent id, {reprlib.repr(pid)}")

    def get_extension(self, code: int) -> object:
        raise _not_of_arrays(f"the copyreg extension {code}")

    def load_empty_dict(self) -> None:
        self.append(_Dict())

    def load_dict(self) -> None:
        items, read = self.pop_mark(), _Dict()
        for key, value in zip(items[::2], items[1::2], strict=True):
            read[key] = value
        self.append(read)

    _standard: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch}  # pyright: ignore
    dispatch: ClassVar[dict[int, Any]] = _standard | {
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.DICT[0]: load_dict,
        # a set is read as a list, which hashes nothing; a bytearray as bytes, which are only then allocated
        pickle.EMPTY_SET[0]: _standard[pickle.EMPTY_LIST[0]],
        pickle.ADDITEMS[0]: _standard[pickle.APPENDS[0]],
        pickle.FROZENSET[0]: _standard[pickle.LIST[0]],
        pickle.BYTEARRAY8[0]: _standard[pickle.BINBYTES8[0]],
    }


class _Decoder:
    """Turns stubs into values; a stub without what it needs fails here or in numpy."""

    def __init__(self, bytes_left: int) -> None:
        self.place: list[str] = []  # path to the value that is being decoded, for messages
        self._loose = False  # whether objects of other classes are read, as their attributes
        self._bytes_left = bytes_left
        self._decoded: dict[int, Any] = {}  # by id: a value that a file uses twice is decoded once

    def value(self, raw: Any, step: str = "") -> Any:
        """Return the plain value that an object made by `_Unpickler` stands for."""
        if raw is None or isinstance(raw, str | bytes | int | float):
            return raw
        if (
            id(raw) not in self._decoded
        ):  # ids stay unique, since stubs live longer than the decoder
            if self._loose:
                self._decoded[id(raw)] = None  # the value of a reference back to this object
            self.place.append(step)
            if len(self.place) > MAX_DEPTH:
                raise _Unreadable(f"contains itself or is nested too deeply. {_CONVERT}")
            self._decoded[id(raw)] = self._composite(raw)
            self.place.pop()
        return self._decoded[id(raw)]

    def named(self, raw: Any, keys: Container[str], loose: Container[str]) -> Any:
        """Return the values of a dict at `keys`; below `loose` keys objects become their attributes."""
        if not isinstance(raw, _Dict):
            return self.value(raw)
        values = {}
        for key in raw:
            self._loose = False
            name = self._key(key)
            if isinstance(name, str) and name in keys:
                self._loose = name in loose
                values[name] = self.value(raw[key], f"[{reprlib.repr(name)}]")
        return values

    def _composite(self, raw: Any) -> object:
        if isinstance(raw, _Dict):
            return {self._key(key): self.value(raw[key], f"[{reprlib.repr(key)}]") for key in raw}
        if type(raw) in (list, tuple):
            return type(raw)([self.value(item, f"[{i}]") for i, item in enumerate(raw)])
        kind, made = type(raw).__name__, raw if isinstance(raw, type) else type(raw)
        if kind == "_reconstructor":  # how protocols 0 and 1 make an object
            kind, made = raw.arguments[0].__name__, raw.arguments[0]
        if issubclass(made, _Foreign) or (self._loose and made is raw):
            return self._attributes(raw, made.__name__)
        match kind, raw.arguments:
            case "_reconstruct", _:
                _, shape, dtype, is_fortran, content = raw.state
                return self._array(dtype, content, shape, "F" if is_fortran else "C")
            case "_frombuffer", (content, dtype, shape, "C" | "F" as order):
                return self._array(dtype, content, shape, order)
            case "scalar", (dtype, content):
                return self._array(dtype, content)[()]
            case "csc_matrix" | "csr_matrix" | "csc_array" | "csr_array", _:
                return self._sparse(raw, by_column=kind.startswith("csc"))
            case "coo_matrix" | "coo_array", _:
                return self._coordinates(raw)
            case "Ch", _:
                return self._numbers(raw, "x")
            case "Select", _:
                return self._select(raw)
            case "set", (items,):
                return self.value(items)
            case "encode", (str(text), "latin1"):
                return text.encode("latin1")
            case "bytes", ():
                return b""
            case _:
                raise _Unreadable(f"has a {kind!r} that is no value. {_CONVERT}")

    def _attributes(self, raw: Any, asked: str) -> object:
        """Return the attributes of an object of another class; None for a class itself."""
        if not self._loose:
            raise _refused(asked)
        attributes = None if isinstance(raw, type) else self.value(raw.state)
        return attributes if isinstance(attributes, dict) else None

    def _key(self, raw: object) -> object:
        key = self.value(raw)
        return key.decode("latin1") if isinstance(key, bytes) else key

    def _array(
        self, dtype: Any, content: Any, shape: Any = (), order: Literal["C", "F"] = "C"
    ) -> NDArray[Any]:
        stored, held = self._dtype(dtype), self.value(content)
        lengths = tuple(operator.index(length) for length in self.value(shape))
        if stored.hasobject:
            return self._objects(held).reshape(lengths)
        held = held.encode("latin1") if isinstance(held, str) else held  # Python 2 wrote a string
        if len(lengths) > 32 or math.prod(lengths) * stored.itemsize != len(held):
            claimed = f"{stored} of shape {reprlib.repr(lengths)}"
            raise _Unreadable(f"has {len(held)} bytes for an array {claimed}. {_MEND}")
        self._reserve(len(held))
        view = np.ndarray(lengths, stored, buffer=memoryview(held), order=order)
        array = np.array(view, stored.newbyteorder("="), order="C")
        if stored.kind == "U" and array.ravel().view(np.uint32).max(initial=0) > sys.maxunicode:
            raise _Unreadable(f"has characters that do not exist. {_MEND}")
        return array

    def _objects(self, held: object) -> NDArray[Any]:
        if not isinstance(held, list):
            raise _Unreadable(f"has an array of objects without a list of them. {_MEND}")
        elements = cast(list[object], held)
        self._reserve(8 * len(elements))
        array = np.empty(len(elements), object)
        for i, element in enumerate(
            elements
        ):  # one by one, since numpy would unpack a list of lists
            array[i] = element
        return array

    def _dtype(self, raw: Any) -> np.dtype[Any]:
        match raw.arguments, raw.state:
            case (str(code), *_), (int(), str(order), None, None, None, *_) if _DTYPE.fullmatch(
                order + code
            ):
                return np.dtype(order + code)
            case asked, _:
                asked = reprlib.repr(asked[:1])
                raise _Unreadable(f"has an array of dtype {asked}, which is refused. {_CONVERT}")

    def _reserve(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            allowed = f"{MAX_EXPANSION_BYTES:,} bytes more than on disk"
            raise _Unreadable(f"takes too much memory, over {allowed}. {_MEND}")

    def _numbers(self, stub: _Stub, name: str) -> NDArray[Any]:
        numbers = self.value(stub.state.get(name), f".{name}")
        is_number = isinstance(numbers, np.ndarray | np.number | int | float)
        if not is_number or np.asarray(numbers).dtype.kind not in "biufc":
            raise _Unreadable(f"has no array of numbers as {name!r}. {_MEND}")
        return np.asarray(numbers)

    def _indices(self, stub: _Stub, name: str, bound: int) -> NDArray[np.int64]:
        indices = self._numbers(stub, name).astype(np.int64, casting="same_kind")
        if indices.size and not 0 <= indices.min() <= indices.max() < bound:
            raise _Unreadable(f"has {name!r} outside of 0 to {bound - 1}. {_MEND}")
        return indices

    def _select(self, stub: _Stub) -> NDArray[Any]:
        """Return the value of a `chumpy.reordering.Select`: elements `idxs` of `a`, in `preferred_shape`."""
        source = self._numbers(stub, "a").ravel()
        indices = self._indices(stub, "idxs", source.size)
        self._reserve(indices.size * source.itemsize)
        selected = source[indices]
        return selected.reshape(self.value(stub.state.get("preferred_shape", selected.shape)))

    def _sparse(self, stub: _Stub, by_column: bool) -> NDArray[Any]:
        """Return a csc (`by_column`) or csr matrix as dense; entries at one place add up, as in scipy."""
        rows, columns = (operator.index(length) for length in self.value(stub.state["_shape"]))
        outer_length, inner_length = (columns, rows) if by_column else (rows, columns)
        entries = self._numbers(stub, "data")
        inner = self._indices(stub, "indices", inner_length)
        starts = self._indices(stub, "indptr", min(inner.size, entries.size) + 1)
        if starts.size != outer_length + 1:
            raise _Unreadable(f"has {starts.size} 'indptr', not {outer_length + 1}. {_MEND}")
        first, last = int(starts[0]), int(starts[-1])
        self._reserve((rows * columns + last) * entries.itemsize)
        outer = np.repeat(np.arange(outer_length), np.diff(starts))
        dense = np.zeros((rows, columns), entries.dtype)
        at = (inner[first:last], outer) if by_column else (outer, inner[first:last])
        np.add.at(dense, at, entries[first:last])
        return dense

    def _coordinates(self, stub: _Stub) -> NDArray[Any]:
        """Return a coo matrix as dense; entries at one place add up, as in scipy."""
        rows, columns = (operator.index(length) for length in self.value(stub.state["_shape"]))
        entries = self._numbers(stub, "data")
        if "coords" in stub.state:
            stub.state |= dict(zip(("row", "col"), stub.state["coords"], strict=True))
        at = self._indices(stub, "row", rows), self._indices(stub, "col", columns)
        if not len(at[0]) == len(at[1]) == len(entries):
            raise _Unreadable(f"has {len(entries)} entries for {len(at[0])} places. {_MEND}")
        self._reserve(rows * columns * entries.itemsize)
        dense = np.zeros((rows, columns), entries.dtype)
        np.add.at(dense, at, entries)
        return dense


def _diagnosis(error: Exception, pickled: bytes, end: int) -> str:
    """Return why reading failed after `end` bytes, and what to do."""
    if not pickled:
        return f"is empty. {_MEND}"
    # checked first, since a name that is cut short is refused too
    if isinstance(error, EOFError) or (end == len(pickled) and pickled[-1:] != pickle.STOP):
        return f"is truncated: it ends before the pickle does. {_MEND}"
    if isinstance(error, _Unreadable):
        return str(error)
    return f"is damaged or not a pickle (by byte {end}: {error!r:.200}). {_MEND}"


def read_pickle(
    path: Path, keys: Container[str] | None = None, loose: Container[str] = ()
) -> dict[str, object]:
    """Return the dict in a pickle of Python 2 or 3: plain containers, strings, numbers and numpy arrays.

    Arrays have native byte order and C order; sparse matrices become dense, chumpy objects their value,
    sets lists. Raises InputError where the file holds anything else. Only the values at `keys` are read
    (None: all), so that others may hold anything. Values at `loose` keys may hold objects of any class,
    which become dicts of their attributes; the code of the class is not used.
    """
    refuse_special(path)
    try:
        pickled = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    named = decode_pickle(pickled, str(path), keys, loose)
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
        held = type(named).__name__
        raise InputError(f"{path} holds a {held}, not a dict of names. {_MEND}")
    return named


def decode_pickle(
    pickled: bytes,
    where: str,
    keys: Container[str] | None = None,
    loose: Container[str] = (),
) -> Any:
    """Return the value of a pickle of plain values and arrays; nothing in it is run.

    Raises InputError that begins with `where`; for `keys` and `loose` see `read_pickle`.
    """
    stream, decoder = io.BytesIO(pickled), _Decoder(len(pickled) + MAX_EXPANSION_BYTES)
    try:
        if (size := value_bytes(pickled, _COSTS)) > most_bytes(len(pickled)):
            raise _Unreadable(f"stands for {size:,} bytes, far more than it has. {_MEND}")
        raw = _Unpickler(stream, any_class=keys is not None).load()
        return decoder.value(raw) if keys is None else decoder.named(raw, keys, loose)
    except Exception as error:  # bytes that are no such file fail in a dozen ways
        place = f", at {place}," if (place := "".join(decoder.place)) else ""
        reason = _diagnosis(error, pickled, stream.tell())
        kind = cure_of(Path(where)) if Path(where).suffix == ".pkl" else ""
        if kind.startswith("it is") and pickled:
            reason += f" But i{kind[1:]}."
        raise InputError(f"{where}{place} {reason}") from error
