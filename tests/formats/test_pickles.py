"""`read_pickle`: what the field's files hold comes back bit for bit, and nothing of a file runs."""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse

from pmnet.core.errors import InputError
from pmnet.formats import pickles
from pmnet.formats.pickles import read_pickle

OPEN_SMPL = Path(pickles.__file__).parents[1] / "body/open_smpl.npz"
RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]


class Attributes:
    """An object that pickles as its class and its attributes, as chumpy and scipy objects do."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


class Ch(Attributes):
    pass


class Select(Attributes):
    pass


class csc_matrix(Attributes):
    pass


class csr_matrix(Attributes):
    pass


HOMES = {
    Ch: "chumpy.ch",
    Select: "chumpy.reordering",
    csc_matrix: "scipy.sparse.csc",
    csr_matrix: "scipy.sparse.csr",
}


@contextmanager
def fake_modules() -> Iterator[None]:
    """The modules that the fakes pretend to come from: there to write a file, not to read it."""
    with pytest.MonkeyPatch.context() as patch:
        for fake, home in HOMES.items():
            module = ModuleType(home)
            setattr(module, fake.__name__, fake)
            patch.setattr(fake, "__module__", home)
            patch.setitem(sys.modules, home.partition(".")[0], ModuleType(home.partition(".")[0]))
            patch.setitem(sys.modules, home, module)
        yield


class Python2Pickler(pickle._Pickler):  # type: ignore[misc,name-defined]
    """Writes what Python 2 would: `str` as bytes, and the module names of its time."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]
    old_module: ClassVar[dict[str, str]] = {
        "builtins": "__builtin__",
        "copyreg": "copy_reg",
        "numpy._core.multiarray": "numpy.core.multiarray",
    }

    def save_string(self, string: str | bytes) -> None:
        content = string if isinstance(string, bytes) else string.encode("latin1")
        if self.proto == 0:
            self.write(pickle.STRING + repr(content)[1:].encode() + b"\n")
        elif len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(string)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = self.old_module.get(obj.__module__, obj.__module__)
        self.write(f"c{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[str] = dispatch[bytes] = save_string


def python3(content: object, protocol: int) -> bytes:
    with fake_modules():
        return pickle.dumps(content, protocol)


def python2(content: object, protocol: int) -> bytes:
    stream = io.BytesIO()
    with fake_modules():
        Python2Pickler(stream, protocol).dump(content)
    return stream.getvalue()


WRITERS = {
    "python 3, protocol 0": lambda content: python3(content, 0),
    "python 3, protocol 2": lambda content: python3(content, 2),
    "python 3, protocol 4": lambda content: python3(content, 4),
    "python 3, protocol 5": lambda content: python3(content, 5),
    "python 2, protocol 0": lambda content: python2(content, 0),
    "python 2, protocol 2": lambda content: python2(content, 2),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
Write = Callable[[object], bytes]


class Reduced:
    """Pickles as any call with any state, so that a test can claim what it wants."""

    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def array_of(shape: object, dtype: object, content: object, fortran: object = False) -> Reduced:
    state = (1, shape, dtype, fortran, content)
    return Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), state)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, object]]:
    def read_bytes(pickled: bytes) -> dict[str, object]:
        path = tmp_path / "body.pkl"
        path.write_bytes(pickled)
        return read_pickle(path)

    return read_bytes


Read = Callable[[bytes], dict[str, object]]


def refusal(read: Read, pickled: bytes) -> str:
    with pytest.raises(InputError) as refused:
        read(pickled)
    message = str(refused.value)
    assert "body.pkl" in message
    assert "give another file." in message or "save it as a dict of plain numpy arrays" in message
    return message


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, dtype, shape and every bit."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray) and expected.dtype == object:
        assert found.dtype == object and found.shape == expected.shape
        assert_same(list(found.flat), list(expected.flat))
    elif isinstance(expected, np.ndarray | np.generic):
        native = expected.astype(expected.dtype.newbyteorder("="))
        assert (found.dtype, found.shape) == (native.dtype, native.shape)
        assert found.tobytes() == native.tobytes()
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        assert_same(list(found.values()), list(expected.values()))
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


# What the files of the field hold


ARRAYS = {
    "big_endian": np.arange(6, dtype=">f8").reshape(2, 3) / 7,
    "fortran": np.asfortranarray(np.arange(24, dtype="<f4").reshape(2, 3, 4) / 7),
    "big_endian_fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "special": np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324]),
    "half": np.array([1.5, -2], np.float16),
    "complex": np.array([1 + 2j, -3j]),
    "bool": np.array([[True], [False]]),
    "byte": np.arange(256, dtype=np.uint8),
    "root_parent": np.array([[2**32 - 1, 0], [0, 1]], np.uint32),
    "long": np.array([2**63 - 1, -(2**63)]),
    "zero_dimensional": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "names": np.array(["left", "é", ""]),
    "big_endian_names": np.array(["left", "é"], dtype=">U5"),
    "bytes_names": np.array([b"m", b"f\x00\xff"]),
    "objects": np.array([[1, "a"], [None, [1.5, [2]]]], dtype=object),
    "fortran_objects": np.asfortranarray(np.array([[1, "a"], [None, 2.5]], dtype=object)),
    "float64": np.float64(1) / 3,
    "int32": np.int32(-5),
    "big_endian_scalar": np.array([1.25], ">f4")[0],
    "numpy_bool": np.True_,
}


@every_writer
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_bit_for_bit(name: str, write: Write, read: Read) -> None:
    assert_same(read(write({name: ARRAYS[name]})), {name: ARRAYS[name]})


@every_writer
def test_arrays_can_be_written_to_and_are_contiguous(write: Write, read: Read) -> None:
    found = read(write({"fortran": ARRAYS["fortran"], "content": ARRAYS["byte"]}))
    for array in found.values():
        assert isinstance(array, np.ndarray)
        assert array.flags.writeable and array.flags.c_contiguous and array.flags.owndata


@every_writer
def test_plain_values_come_back(write: Write, read: Read) -> None:
    content: dict[str, object] = {
        "none": None,
        "truth": [True, False],
        "numbers": [0, -1, 255, 2**31, -(2**70), 0.1, float("inf")],
        "nested": {"list": [[], [{}], ()], "tuple": (1, ("two", None)), "3": {4: "four"}},
        "genders": ["m", "f"],
        "long": "x" * 300,
    }
    assert_same(read(write(content)), content)


@every_writer
def test_a_3dpw_sequence_comes_back(write: Write, read: Read) -> None:
    generator = np.random.default_rng(0)
    sequence = {
        "sequence": "downtown_walking_00",
        "genders": ["m", "f"],
        "betas": [generator.normal(size=10) for _ in range(2)],
        "poses": [generator.normal(size=(5, 72)) for _ in range(2)],
        "poses2d": [generator.normal(size=(5, 3, 18)) for _ in range(2)],
        "campose_valid": [np.ones(5, bool), np.zeros(5, bool)],
        "cam_poses": generator.normal(size=(5, 4, 4)),
        "img_frame_ids": np.arange(5),
        "texture_maps": [],
    }
    assert_same(read(write(sequence)), sequence)


def test_strings_of_python_2_are_read_as_latin1(read: Read) -> None:
    assert read(python2({"façade": "\xff\x00"}, 2)) == {"façade": "\xff\x00"}


def test_bytes_of_python_3_stay_bytes_but_name_as_strings(read: Read) -> None:
    assert read(pickle.dumps({b"pose": b"\xff", "empty": b""}, 2)) == {
        "pose": b"\xff",
        "empty": b"",
    }


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_sets_are_read_as_lists(protocol: int, read: Read) -> None:
    assert read(pickle.dumps({"set": {1}, "none": set()}, protocol)) == {"set": [1], "none": []}


def test_what_is_used_twice_stays_one(read: Read) -> None:
    shared = [np.arange(3)]
    found = read(pickle.dumps({"one": shared, "two": shared}))
    assert found["one"] is found["two"]


# chumpy and scipy


def sparse_fake(matrix: Any) -> Attributes:
    """A matrix with the attributes that scipy 0.1x pickled."""
    fake = {"csc": csc_matrix, "csr": csr_matrix}[matrix.format]
    return fake(
        _shape=matrix.shape,
        maxprint=50,
        indices=matrix.indices,
        indptr=matrix.indptr,
        data=matrix.data,
        format=matrix.format,
        _has_sorted_indices=True,
    )


def chumpy_fake(x: object) -> Ch:
    """A `Ch` with the book-keeping that chumpy pickles beside the value."""
    return Ch(x=x, _dirty_vars={"x"}, _itr=None, _depends_on_deps={}, _make_dense=False)


@every_writer
def test_chumpy_objects_are_read_as_their_values(write: Write, read: Read) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    kept = np.arange(24).reshape(4, 3, 2)[::2, :, 1]
    content = {
        "ch": chumpy_fake(values),
        "select": Select(a=chumpy_fake(values), idxs=kept.ravel(), preferred_shape=kept.shape),
        "flat": Select(a=chumpy_fake(np.asfortranarray(values)), idxs=kept.ravel()),
        "again": Select(a=Select(a=values, idxs=kept.ravel()), idxs=np.array([5, 5, 0])),
        "number": chumpy_fake(2.5),
    }
    chosen = values[::2, :, 1]
    expected = {
        "ch": values,
        "select": chosen,
        "flat": chosen.ravel(),
        "again": chosen.ravel()[[5, 5, 0]],
        "number": np.array(2.5),
    }
    assert_same(read(write(content)), expected)


@every_writer
def test_old_sparse_matrices_come_back_dense(write: Write, read: Read) -> None:
    dense = np.where(np.random.default_rng(0).random((5, 9)) < 0.3, np.pi, 0).astype(np.float32)
    twice = scipy.sparse.csr_matrix(([1.0, 2.0, 4.0], [2, 2, 0], [0, 2, 3]), shape=(2, 3))
    content = {
        "csc": sparse_fake(scipy.sparse.csc_matrix(dense)),
        "csr": sparse_fake(scipy.sparse.csr_matrix(dense)),
        "nothing": sparse_fake(scipy.sparse.csc_matrix((3, 2))),
        "twice": sparse_fake(twice),
    }
    expected = {
        "csc": dense,
        "csr": dense,
        "nothing": np.zeros((3, 2)),
        "twice": np.array([[0, 0, 3.0], [4.0, 0, 0]]),
    }
    assert_same(read(write(content)), expected)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sparse_matrices_of_the_installed_scipy_come_back_dense(protocol: int, read: Read) -> None:
    dense = np.where(np.random.default_rng(0).random((5, 9)) < 0.3, np.pi, 0)
    matrices = {"csc": scipy.sparse.csc_matrix(dense), "csr": scipy.sparse.csr_matrix(dense)}
    matrices |= {
        "csc array": scipy.sparse.csc_array(dense),
        "csr array": scipy.sparse.csr_array(dense),
        "coo": scipy.sparse.coo_matrix(dense),
        "coo array": scipy.sparse.coo_array(dense),
        "matrix": np.matrix(dense),
    }
    assert_same(read(pickle.dumps(matrices, protocol)), dict.fromkeys(matrices, dense))


@pytest.mark.parametrize(
    "change",
    [
        {"row": np.array([0, 5])},
        {"col": np.array([0, -1])},
        {"data": np.ones(3)},
        {"_shape": (1 << 20, 1 << 20)},
        {"coords": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_coo_matrix_that_does_not_fit_its_places_is_refused(change, read: Read) -> None:
    matrix = scipy.sparse.coo_matrix(np.eye(2))
    state = {"_shape": (2, 2), "data": np.ones(2), "row": np.arange(2), "col": np.arange(2)}
    matrix.__dict__.clear()
    matrix.__dict__.update(state | change)
    assert "give another file" in refusal(read, pickle.dumps({"J": matrix}))


@pytest.mark.parametrize(("vertices", "betas"), [(6890, 10), (700, 300)])
def test_an_official_smpl_file_comes_back_bit_for_bit(
    vertices: int, betas: int, read: Read
) -> None:
    with np.load(OPEN_SMPL) as stored:
        body = {name: stored[name] for name in stored.files}
    for name in ("v_template", "posedirs", "weights", "J"):
        body[name] = body[name].astype(np.float64)
    regressor = body["J_regressor"][:, :vertices].astype(np.float64)
    shapedirs = np.tile(body["shapedirs"][:vertices].astype(np.float64), betas // 10)
    kept = {name: body[name][:vertices] for name in ("v_template", "weights", "posedirs")}
    kintree_table = body["kintree_table"].astype(np.uint32)  # the parent of the root is -1
    plain = {"f": body["f"], "J": body["J"], "kintree_table": kintree_table, **kept}
    official = plain | {
        "shapedirs": chumpy_fake(shapedirs),
        "J_regressor": sparse_fake(scipy.sparse.csc_matrix(regressor)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    found = read(python2(official, 2))
    expected = plain | {"shapedirs": shapedirs, "J_regressor": regressor}
    assert_same(found, {**official, **expected})
    assert found["kintree_table"][0, 0] == 2**32 - 1  # type: ignore[index]


# Files that ask for something


CALLS = ["os.system", "posix.system", "builtins.eval", "__builtin__.eval", "builtins.getattr"]
CALLS += ["builtins.exec", "numpy.fromfile", "numpy.load", "subprocess.Popen", "shutil.rmtree"]
CALLS += ["numpy.core.multiarray.fromfile", "chumpy.ch.MatVecMult", "chumpy.Ch", "os.ndarray"]
CALLS += ["scipy.sparse.dok.dok_matrix", "numpy.ndarray.tofile", "copyreg.__newobj__"]


def short(string: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(string)]) + string.encode()


def calls(name: str, argument: bytes) -> dict[str, bytes]:
    """Ways to call the global `name` with a pickled argument."""
    module, _, function = name.rpartition(".")
    return {
        "reduce": f"c{module}\n{function}\n".encode() + argument + b"\x85R",
        "stack global": short(module) + short(function) + b"\x93" + argument + b"\x85R",
        "inst": b"(" + argument + f"i{module}\n{function}\n".encode(),
        "obj": f"(c{module}\n{function}\n".encode() + argument + b"o",
        "newobj": f"c{module}\n{function}\n".encode() + argument + b"\x85\x81",
        "never called": f"c{module}\n{function}\n".encode(),
    }


@pytest.mark.parametrize("way", calls("a.b", b""))
@pytest.mark.parametrize("name", CALLS)
def test_a_global_off_the_list_is_refused_by_name(
    name: str, way: str, read: Read, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    attack = calls(name, short(f"touch {marker}"))[way]
    assert name in refusal(read, b"\x80\x04}" + short("a") + attack + b"s.")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "command"),
    [("os.system", "touch {}"), ("builtins.exec", "open({!r}, 'w')")],
)
def test_attacks_would_work_on_pickle_and_do_not_here(
    name: str, command: str, read: Read, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    attack = b"\x80\x04" + calls(name, short(command.format(str(marker))))["reduce"] + b"."
    assert name in refusal(read, attack)
    assert not marker.exists()
    pickle.loads(attack)
    assert marker.exists()


class Attack:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


HIDING_PLACES: dict[str, Callable[[object], object]] = {
    "top": lambda attack: attack,
    "list": lambda attack: {"poses": [[1, attack]]},
    "key": lambda attack: {attack: 1},
    "chumpy value": lambda attack: {"shapedirs": Ch(x=attack)},
    "chumpy book-keeping": lambda attack: {"shapedirs": Ch(x=np.ones(2), _cache=attack)},
    "sparse": lambda attack: {"J": csc_matrix(_shape=(1, 1), data=attack)},
    "object array": lambda attack: {"a": np.array([1, attack], dtype=object)},
    "array shape": lambda attack: {"a": array_of(attack, np.dtype("f8"), b"")},
    "array content": lambda attack: {"a": array_of((1,), np.dtype("f8"), attack)},
    "dtype": lambda attack: {"a": array_of((1,), attack, b"")},
    "constructor": lambda attack: {"a": Reduced(RECONSTRUCT, (attack, (0,), b"b"))},
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", HIDING_PLACES)
def test_an_attack_is_refused_wherever_it_hides(
    place: str, protocol: int, read: Read, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    for attack, name in (
        (Attack(os.system, f"touch {marker}"), "system"),
        (Attack(subprocess.Popen, ["touch", str(marker)]), "Popen"),
        (Attack(eval, f"open({str(marker)!r}, 'w')"), "eval"),
        (Attack(np.fromfile, str(marker)), "fromfile"),
    ):
        assert name in refusal(read, python3(HIDING_PLACES[place](attack), protocol))
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", HIDING_PLACES)
def test_an_attack_does_nothing_where_objects_may_be(
    place: str, protocol: int, tmp_path: Path
) -> None:
    marker, path = tmp_path / "marker", tmp_path / "clip.pkl"
    attack = Attack(os.system, f"touch {marker}")
    content = {"betas": np.ones(2), "cfg": HIDING_PLACES[place](attack)}
    path.write_bytes(python3(content, protocol))
    assert_same(read_pickle(path, {"betas"})["betas"], np.ones(2))
    try:
        assert_same(read_pickle(path, {"betas", "cfg"}, {"cfg"})["betas"], np.ones(2))
    except InputError as refused:
        assert "clip.pkl, at ['cfg']" in str(refused)
    if place not in ("constructor", "chumpy book-keeping"):  # which are not looked at
        with pytest.raises(InputError, match=r"clip\.pkl.*refused|no array of numbers"):
            read_pickle(path, {"betas", "cfg"})
    assert not marker.exists()


class Node(Attributes):
    pass


def test_objects_are_read_as_their_attributes_where_they_may_be(tmp_path: Path) -> None:
    child = Node(gender="male", kind=Node, entries=OrderedDict(a=1))
    parent = Node(child=child, count=np.float64(2), betas=np.arange(3.0))
    child.parent = parent
    path = tmp_path / "clip.pkl"
    for protocol in (0, 2, 4):
        path.write_bytes(pickle.dumps({"cfg": parent, "other": child}, protocol))
        found: Any = read_pickle(path, {"cfg"}, {"cfg"})["cfg"]
        assert (found["child"]["gender"], found["count"]) == ("male", 2.0)
        assert_same(found["betas"], np.arange(3.0))
        lost = [found["child"][name] for name in ("kind", "entries", "parent")]
        assert lost == [None, None, None]
        with pytest.raises(InputError, match=r"asks for '.*test_pickles\.Node', which is refused"):
            read_pickle(path, {"cfg"})


def test_a_file_may_not_name_classes_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MAX_CLASSES", 3)
    path = tmp_path / "clip.pkl"
    names = b"".join(f"cmine\nA{number}\n0".encode() for number in range(5))
    path.write_bytes(b"\x80\x04" + names + b"}.")
    with pytest.raises(InputError, match=r"asks for 'mine\.A3', which is refused"):
        read_pickle(path, {"a"})


@pytest.mark.parametrize("persistent", [b"Psecret id\n", short("secret id") + b"Q"])
def test_a_persistent_id_is_refused(persistent: bytes, read: Read) -> None:
    message = refusal(read, b"\x80\x02}" + short("a") + persistent + b"s.")
    assert "persistent id, 'secret id', which is refused" in message


@pytest.mark.parametrize("code", [b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"])
def test_a_copyreg_extension_is_refused(
    code: bytes, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = b"\x80\x02" + code + short("exit 0") + b"\x85R."
    assert "copyreg extension 7" in refusal(read, attack)
    # a code that the process has registered, or used before, is no better
    monkeypatch.setitem(pickle._inverted_registry, 7, ("os", "system"))  # type: ignore[attr-defined]
    monkeypatch.setitem(pickle._extension_cache, 7, os.system)  # type: ignore[attr-defined]
    assert "copyreg extension 7" in refusal(read, attack)


def test_buffers_outside_of_the_file_are_refused(read: Read) -> None:
    pickled = pickle.dumps({"a": np.ones(3)}, 5, buffer_callback=lambda buffer: False)
    assert "buffer" in refusal(read, pickled)


def test_a_deep_tuple_is_never_hashed(read: Read) -> None:
    # its hash recurses in C without a limit: some 200,000 levels are a segmentation fault
    deepest, deep = (b")" + pickle.TUPLE1 * levels for levels in (250_000, 100))
    for as_key in (b"}" + deepest + b"Ns", b"}(" + deep + b"Nu", b"(" + deep + b"Nd"):
        assert "a tuple as a key" in refusal(read, b"\x80\x04" + as_key + b".")
    for as_item in (b"\x8f(" + deep + b"\x90", b"(" + deep + b"\x91"):
        assert "too deeply" in refusal(read, b"\x80\x04}" + short("a") + as_item + b"s.")


def loop_list() -> object:
    loop: list[object] = [1]
    loop.append({"again": loop})
    return loop


def loop_array() -> object:
    loop = np.empty(1, dtype=object)
    loop[0] = loop
    return loop


def loop_chumpy() -> object:
    loop = Ch()
    loop.x = loop  # type: ignore[attr-defined]
    return loop


def deep_list() -> object:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    return deep


@every_writer
@pytest.mark.parametrize("make", [loop_list, loop_array, loop_chumpy, deep_list])
def test_what_contains_itself_is_refused(
    make: Callable[[], object], write: Write, read: Read
) -> None:
    message = refusal(read, write({"pose": make()}))
    assert "at ['pose']" in message and "contains itself or is nested too deeply" in message


# Damaged files


def small_file(write: Write) -> bytes:
    matrix = sparse_fake(scipy.sparse.csc_matrix(np.eye(3)))
    arrays = {"a": np.arange(3.0), "s": np.float32(2), "n": np.array(["é"])}
    return write({"ch": Ch(x=np.ones((2, 2))), "J": matrix, "list": [1, None, "x"], **arrays})


@every_writer
def test_a_truncated_file_is_refused_wherever_it_ends(write: Write, tmp_path: Path) -> None:
    whole = small_file(write)
    path = tmp_path / "body.pkl"
    for end in [*range(1, len(whole), len(whole) // 30), len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"is truncated|is damaged or not|asks for"):
            read_pickle(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"body.pkl is truncated"):
        read_pickle(path)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@every_writer
def test_a_changed_file_is_read_or_refused_but_never_fails_otherwise(
    write: Write, tmp_path: Path
) -> None:
    whole, generator = small_file(write), random.Random(0)
    path = tmp_path / "body.pkl"
    for _ in range(80):
        changed = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        path.write_bytes(changed)
        try:
            assert isinstance(read_pickle(path), dict)
        except InputError as error:
            assert "body.pkl" in str(error)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Please log in.</html>\n", "not a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a pickle"),
        (b"\x89PNG\r\n\x1a\n", "no pickle of arrays"),
        (b"PK\x03\x04 an npz\nof arrays", "no pickle of arrays"),
        (b"\x80\x63.", "not a pickle"),
        (b".", "not a pickle"),
    ],
)
def test_what_is_no_pickle_is_said(content: bytes, problem: str, read: Read) -> None:
    assert problem in refusal(read, content)


@pytest.mark.parametrize(
    ("content", "found"),
    [([1], "list"), (np.ones(2), "ndarray"), ("text", "str"), ({1: 2}, "dict")],
)
def test_the_top_must_be_a_dict_of_names(content: object, found: str, read: Read) -> None:
    assert f"holds a {found}, not a dict of names" in refusal(read, pickle.dumps(content))


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pkl cannot be read.*Check the path"):
        read_pickle(tmp_path / "missing.pkl")
    with pytest.raises(InputError, match=f"{tmp_path}: is a folder; expected a file"):
        read_pickle(tmp_path)


BAD_ARRAYS: dict[str, tuple[object, str]] = {
    "too few bytes": (
        array_of((3,), np.dtype("f8"), bytes(23)),
        "has 23 bytes for an array float64",
    ),
    "too many bytes": (
        array_of((3,), np.dtype("f8"), bytes(25)),
        "has 25 bytes for an array float64",
    ),
    "absurd shape": (array_of((10**6, 10**6), np.dtype("f8"), b""), "has 0 bytes"),
    "overflowing shape": (array_of((2**40, 2**40), np.dtype("f8"), b""), "has 0 bytes"),
    "negative shape": (array_of((-1, -1), np.dtype("f8"), bytes(8)), "damaged"),
    "float shape": (array_of((1.0,), np.dtype("f8"), bytes(8)), "damaged"),
    "text shape": (array_of(("a", 10**10), np.dtype("f8"), bytes(8)), "damaged"),
    "many dimensions": (array_of((1,) * 40, np.dtype("f8"), bytes(8)), "has 8 bytes"),
    "no bytes": (array_of((1,), np.dtype("f8"), None), "damaged"),
    "list for bytes": (array_of((1,), np.dtype("u1"), [1]), "damaged"),
    "no dtype": (array_of((1,), "f8", bytes(8)), "damaged"),
    "no state": (Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b")), "damaged"),
    "short state": (Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, 2)), "damaged"),
    "structured": (np.zeros(2, [("x", "f8")]), "dtype ('V8',), which is refused"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "dtype ('M8',), which is refused"),
    "long double": (np.zeros(2, np.longdouble), "which is refused"),
    "few objects": (array_of((3,), np.dtype(object), [1]), "damaged"),
    "objects in a string": (array_of((3,), np.dtype(object), "abc"), "without a list"),
    "no characters": (array_of((1,), np.dtype("<U1"), b"\xff\xff\xff\xff"), "characters"),
    "scalar": (Reduced(SCALAR, (np.dtype("f8"), bytes(4))), "has 4 bytes for an array float64"),
    "scalar without dtype": (Reduced(SCALAR, (8, bytes(8))), "damaged"),
    "many arguments": (Reduced(SCALAR, tuple(range(6))), "scalar with 6 arguments"),
    "codec": (Reduced(__import__("_codecs").encode, ("41", "hex")), "'encode' that is no value"),
    "allocation": (Reduced(bytes, (10**12,)), "'bytes' that is no value"),
    "class": (np.ndarray, "that is no value"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("bad", BAD_ARRAYS)
def test_a_malformed_array_is_refused(bad: str, protocol: int, read: Read) -> None:
    array, problem = BAD_ARRAYS[bad]
    message = refusal(read, pickle.dumps({"v_template": [array]}, protocol))
    assert problem in message
    if "arguments" not in bad:
        assert "body.pkl, at ['v_template'][0]," in message


def csc_of(**changes: object) -> csc_matrix:
    """A 2 x 3 matrix, changed."""
    sound: dict[str, object] = {
        "_shape": (2, 3),
        "data": np.ones(3),
        "indices": np.array([0, 1, 1], np.int32),
        "indptr": np.array([0, 1, 2, 3], np.int32),
    }
    return csc_matrix(
        **{key: value for key, value in (sound | changes).items() if value is not None}
    )


BAD_SPARSE: dict[str, tuple[Attributes, str]] = {
    "row too large": (csc_of(indices=np.array([0, 2, 1])), "'indices' outside of 0 to 1"),
    "row negative": (csc_of(indices=np.array([0, -1, 1])), "'indices' outside of 0 to 1"),
    "row unsigned": (csc_of(indices=np.array([0, 2**64 - 1, 1], np.uint64)), "'indices' outside"),
    "row fraction": (csc_of(indices=np.array([0, 0.5, 1])), "damaged"),
    "row missing": (csc_of(indices=np.array([0, 1])), "'indptr' outside of 0 to 2"),
    "entry missing": (csc_of(data=np.ones(2)), "'indptr' outside of 0 to 2"),
    "column missing": (csc_of(indptr=np.array([0, 1, 3])), "has 3 'indptr', not 4"),
    "columns too many": (csc_of(_shape=(2, 10**9)), "has 4 'indptr', not 1000000001"),
    "columns reversed": (csc_of(indptr=np.array([0, 2, 1, 3])), "damaged"),
    "column absurd": (csc_of(indptr=np.array([0, 1, 2, 2**60])), "'indptr' outside of 0 to 3"),
    "shape negative": (csc_of(_shape=(-2, 3)), "'indices' outside"),
    "shape text": (csc_of(_shape=("a", 10**10)), "damaged"),
    "shape of three": (csc_of(_shape=(2, 3, 4)), "damaged"),
    "no shape": (csc_of(_shape=None), "damaged"),
    "no data": (csc_of(data=None), "no array of numbers as 'data'"),
    "data text": (csc_of(data=np.array(["a", "b", "c"])), "no array of numbers as 'data'"),
    "data objects": (csc_of(data=np.array([1, 2, 3], object)), "no array of numbers as 'data'"),
    "data in a list": (csc_of(data=[1.0, 2.0, 3.0]), "no array of numbers as 'data'"),
    "data in a matrix": (csc_of(data=np.ones((3, 3))), "damaged"),
    "no state": (csc_matrix(), "damaged"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("bad", BAD_SPARSE)
def test_a_malformed_sparse_matrix_is_refused(bad: str, protocol: int, read: Read) -> None:
    matrix, problem = BAD_SPARSE[bad]
    message = refusal(read, python3({"J_regressor": matrix}, protocol))
    assert "at ['J_regressor']" in message and problem in message


BAD_CHUMPY: dict[str, tuple[Attributes, str]] = {
    "no value": (Ch(y=1), "no array of numbers as 'x'"),
    "value of text": (Ch(x="text"), "no array of numbers as 'x'"),
    "value of strings": (Ch(x=np.array(["a"])), "no array of numbers as 'x'"),
    "value of integer": (Ch(x=10**30), "no array of numbers as 'x'"),
    "index too large": (Select(a=np.ones(3), idxs=np.array([3])), "'idxs' outside of 0 to 2"),
    "index negative": (Select(a=np.ones(3), idxs=np.array([-1])), "'idxs' outside of 0 to 2"),
    "index of truth": (Select(a=np.ones(3), idxs=np.array(["x"])), "no array of numbers as 'idxs'"),
    "no source": (Select(idxs=np.array([0])), "no array of numbers as 'a'"),
    "wrong shape": (Select(a=np.ones(3), idxs=np.arange(3), preferred_shape=(2, 2)), "damaged"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("bad", BAD_CHUMPY)
def test_a_malformed_chumpy_object_is_refused(bad: str, protocol: int, read: Read) -> None:
    malformed, problem = BAD_CHUMPY[bad]
    message = refusal(read, python3({"shapedirs": malformed}, protocol))
    assert "at ['shapedirs']" in message and problem in message


# Files that would fill the memory


def wide_sparse() -> Attributes:
    starts = np.array([0, 1])
    return csr_matrix(_shape=(1, 10**12), data=np.ones(1), indices=starts[:1], indptr=starts)


HUGE = 2**38
BOMBS: dict[str, bytes] = {
    "sparse": python3({"J": wide_sparse()}, 4),
    "array": pickle.dumps({"a": array_of((HUGE,), np.dtype("f8"), b"12345678")}, 4),
    "no array": pickle.dumps({"a": array_of((HUGE,), np.dtype("f8"), None)}, 4),
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"abc.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"abc.",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"abc.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"}",
    "long": b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "string": b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"abc.",
    "memo": b"\x80\x02]r\xff\xff\xff\x7f.",
    "digits": b"I" + b"9" * 10**5 + b"\n.",
    "shared list": pickle.dumps({"a": [[[[[0] * 99] * 99] * 99] * 99] * 99, "b": object}, 4),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_never_takes_much_memory(bomb: str, read: Read) -> None:
    tracemalloc.start()
    try:
        refusal(read, BOMBS[bomb])
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_one_content_for_many_arrays_is_limited(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MAX_EXPANSION_BYTES", 1_000_000)
    content = bytes(100_000)
    few = pickle.dumps({"a": [array_of((100_000,), np.dtype("u1"), content) for _ in range(11)]})
    assert len(read(few)["a"]) == 11  # type: ignore[arg-type]
    many = pickle.dumps({"a": [array_of((100_000,), np.dtype("u1"), content) for _ in range(12)]})
    assert "too much memory" in refusal(read, many)
    source, indices = np.zeros(1000), np.zeros(1000, np.uint8)
    selects = [Select(a=source, idxs=indices) for _ in range(130)]
    assert "too much memory" in refusal(read, python3({"a": selects}, 4))


def test_a_plain_file_is_never_too_large(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_EXPANSION_BYTES", 0)
    content = {"a": np.arange(10_000.0), "b": np.ones(3)}
    assert_same(read(pickle.dumps(content)), content)
