"""Damaged files, headers and settings: each reader returns values or one InputError.

It never crashes, hangs, or takes memory out of proportion. The damage is drawn from a seed (`hostile.py`).
"""

import importlib
import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import fake_errors
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fake_benchmark import packed_benchmark
from hostile import VALUES, damaged, other_headers
from scipy.io import savemat
from tiny_world import MACHINE, World, write_world

from pmnet.clustering.options import Cluster
from pmnet.core import params
from pmnet.core.device import Machine, device_of
from pmnet.core.errors import InputError
from pmnet.core.ranges import plain_type
from pmnet.core.torch_files import load_torch, save_torch
from pmnet.core.yaml_files import MAX_VALUES, read_yaml
from pmnet.data.samples import Samples
from pmnet.datasets import adapters
from pmnet.evaluation import extra
from pmnet.evaluation.error_table import read_errors
from pmnet.evaluation.options import Evaluate
from pmnet.formats.hdf5 import read_hdf5
from pmnet.formats.json import read_json
from pmnet.formats.matlab import read_mat5
from pmnet.formats.npz import read_npy, read_npz
from pmnet.formats.pickles import read_pickle
from pmnet.images.file import Pixels, encode, write_pixels
from pmnet.images.options import Images
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import NetworkConfig, PMNet
from pmnet.model.weights import load_network, read_model_file
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.options import FigureSize, Pictures, ReportOptions
from pmnet.training.options import Train

ROOT = Path(__file__).parents[1]
MOST_BYTES = 500_000_000
KEYS = ("a", "b", "names", "poses")


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    return write_world(tmp_path_factory.mktemp("world"), body)


@pytest.fixture(autouse=True)
def _memory_in_proportion():
    """Fail a test in which this process grew by more than MOST_BYTES."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_BYTES


def read_all(path: Path) -> None:
    """Read a file of images and all its images."""
    pixels = Pixels(path)
    pixels.read_stored(torch.arange(len(pixels)))


def every_column(path: Path) -> None:
    """Read packed errors, and all of them."""
    packed = load_packed([path])
    for run, facts in packed.runs.items():
        for seed in facts.seeds:
            for inference in facts.inferences:
                packed.column(run, seed, inference, "mpvpe_mm")


def arrays_of(path: Path) -> Path:
    values = {"a": np.arange(60.0).reshape(3, 20), "b": np.arange(5), "names": np.array(["x", "é"])}
    np.savez(path, **values, poses=np.array(["x", b"y"], object))
    return path


def compressed(path: Path) -> Path:
    np.savez_compressed(path, a=np.zeros((50, 50)), names=np.array([b"x", b"yy"]))
    return path


def npy(path: Path) -> Path:
    np.save(path, np.asfortranarray(np.arange(60.0).reshape(3, 20)))
    return path


def mat(path: Path) -> Path:
    cells = np.empty((2, 1), object)
    cells[:, 0] = [np.arange(6.0), np.zeros((2, 2))]
    savemat(path, {"a": np.arange(60.0).reshape(3, 20), "b": cells}, do_compression=True)
    return path


def h5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(600.0), chunks=(100,), compression="gzip")
        file["names"] = ["x.jpg", "yy.jpg"]
    return path


def text(path: Path) -> Path:
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "x"}] * 9, "n": [1.5, None]}))
    return path


def pickled(path: Path) -> Path:
    path.write_bytes(pickle.dumps({"a": np.arange(9.0), "names": ["x", b"y"], "b": (1, 2.5)}))
    return path


def weights(path: Path) -> Path:
    state = {"memory": torch.zeros(3, 157), "neck.0.weight": torch.zeros(16, 8)}
    save_torch({"state": state, "settings": {"hidden": 16}, "body": "b", "rows": [1.0]}, path)
    return path


def jpegs(path: Path) -> Path:
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    write_pixels(path, [encode(images, "jpeg", 90)], 32, "jpeg")
    return path


def errors_of(path: Path) -> Path:
    return fake_errors.write(path, fake_errors.frame_of("single", 0.0), k=1)


def packed_of(path: Path) -> Path:
    packed_benchmark(path.parent, samples=8)
    return path.parent / "errors_controls.parquet"


# reader -> how a whole file is made, how it is read, how many damaged copies are tried
READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], int]] = {
    "a.npz": (arrays_of, lambda path: read_npz(path, KEYS), 400),
    "compressed.npz": (compressed, lambda path: read_npz(path, KEYS), 300),
    "a.npy": (npy, read_npy, 300),
    "a.mat": (mat, lambda path: read_mat5(path, KEYS), 400),
    "a.h5": (h5, lambda path: read_hdf5(path, KEYS), 6),
    "a.json": (text, read_json, 300),
    "a.pkl": (pickled, read_pickle, 400),
    "a.pt": (weights, lambda path: load_torch(path, "file"), 200),
    "jpeg.arrow": (jpegs, read_all, 300),
    "errors.parquet": (errors_of, lambda path: read_errors([path]), 200),
    "packed.parquet": (packed_of, every_column, 200),
}
WORLD: dict[str, tuple[Callable[[Path], object], int]] = {
    "samples": (Samples.load, 300),
    "images": (read_all, 60),
    "memory": (PrototypeMemory.load, 200),
}


def refuses_or_reads(read: Callable[[Path], object], path: Path, contents: Iterator[bytes]) -> int:
    """Return how many contents were refused; nothing but InputError is raised."""
    refused = 0
    for content in contents:
        path.unlink(missing_ok=True)  # a mapped file must not change under its reader
        path.write_bytes(content)
        try:
            read(path)
        except InputError as error:
            assert str(path) in str(error)
            refused += 1
    return refused


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read(tmp_path, name):
    make, read, count = READERS[name]
    whole = make(tmp_path / name)
    read(whole)
    suffix = whole.suffix
    assert refuses_or_reads(read, tmp_path / f"x{suffix}", damaged(whole.read_bytes(), count)) > 0


@pytest.mark.parametrize("name", WORLD)
def test_damaged_files_of_ours_are_refused_or_read(world, tmp_path, name):
    read, count = WORLD[name]
    whole: Path = getattr(world, name)
    contents = damaged(whole.read_bytes(), count)
    assert refuses_or_reads(read, tmp_path / whole.name, contents) > 0


# --- headers


def with_metadata(path: Path, out: Path, key: str, header: Any) -> None:
    """Write an Arrow or Parquet file with another header."""
    content = header if isinstance(header, str) else json.dumps(header)
    if path.suffix == ".parquet":
        pq.write_table(pq.read_table(path).replace_schema_metadata({key: content}), out)
        return
    table = pa.ipc.open_file(str(path)).read_all().replace_schema_metadata({key: content})
    with pa.ipc.new_file(str(out), table.schema) as writer:
        writer.write_table(table)


def header_of(path: Path, key: str) -> Any:
    is_parquet = path.suffix == ".parquet"
    schema = pq.read_schema(path) if is_parquet else pa.ipc.open_file(str(path)).schema
    return json.loads(schema.metadata[key.encode()])


@pytest.mark.parametrize(
    ("name", "key", "read"),
    [
        ("samples", "pmnet.samples", Samples.load),
        ("images", "pmnet.pixels", read_all),
        ("errors", "pmnet.errors", lambda path: read_errors([path])),
        ("packed", "pmnet.packed", every_column),
    ],
)
def test_other_headers_are_refused_or_read(world, tmp_path, name, key, read):
    makers = {"errors": errors_of, "packed": packed_of}
    whole = makers[name](tmp_path / "e.parquet") if name in makers else getattr(world, name)
    out, refused = tmp_path / f"x{whole.suffix}", 0
    for header in other_headers(header_of(whole, key)):
        out.unlink(missing_ok=True)
        with_metadata(whole, out, key, header)
        try:
            read(out)
        except InputError as error:
            assert str(out) in str(error)
            refused += 1
    assert refused > 30


def test_other_headers_of_a_memory_are_refused_or_read(world, tmp_path):
    with np.load(world.memory) as archive:
        arrays = {key: archive[key] for key in archive.files}
    out, refused = tmp_path / "memory.npz", 0
    for header in other_headers(json.loads(str(arrays["header"]))):
        np.savez(out, **{**arrays, "header": np.array(json.dumps(header))})
        try:
            PrototypeMemory.load(out)
        except InputError:
            refused += 1
    assert refused > 30


def test_other_weights_are_refused_or_read(world, tmp_path):
    memory = PrototypeMemory.load(world.memory)
    whole, out = tmp_path / "seed_0.pt", tmp_path / "x.pt"
    settings = NetworkConfig("squeezenet1_1", 1, 16, 0, 0, "plain", 3, "assigned")
    saved = {
        "state": PMNet(settings, memory).state_dict(),
        "body": "b",
        "settings": asdict(settings),
    }
    torch.save(saved, whole)
    load_network(whole, memory)
    small = {"settings": saved["settings"], "body": "b", "state": {"memory": 1}}
    refused = 0
    for header in other_headers(small):
        is_whole = isinstance(header, dict) and header.get("state") == small["state"]
        changed = {**header, "state": saved["state"]} if is_whole else header
        with suppress(OverflowError, RuntimeError):  # torch cannot write every value
            torch.save(changed, out)
            try:
                read_model_file(out)
            except InputError as error:
                assert str(out) in str(error)
                refused += 1
    assert refused > 30
    saved["settings"] = {**saved["settings"], "regressor_steps": 10**9}
    torch.save(saved, out)
    with pytest.raises(
        InputError, match=r"x\.pt: .*regressor_steps: expected at least 0 and at most"
    ):
        read_model_file(out)


# --- files that stand for more than they hold


def bomb_npz(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w") as stream,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": (600_000_000,)}
        np.lib.format.write_array_header_1_0(stream, header)
        for _ in range(600):
            stream.write(bytes(1_000_000))


def claims_npy(path: Path) -> None:
    with path.open("wb") as stream:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
        np.lib.format.write_array_header_1_0(stream, header)


def unwritten_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**9,), "f8", chunks=(10**6,), fillvalue=1.0)


def rows_parquet(path: Path) -> None:
    n = 11_000_000
    once = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["x"]))
    pq.write_table(pa.table({f"c{i}": once for i in range(6)}), path)


def lists_pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x04}(X\x01\0\0\0a](" + b"]" * 7_000_000 + b"eu.")


def lists_json(path: Path) -> None:
    path.write_bytes(b"[" + b"{}," * 2_500_000 + b"0]")


@pytest.mark.parametrize(
    ("make", "name", "read"),
    [
        (lists_pickle, "a.pkl", read_pickle),
        (lists_json, "a.json", read_json),
        (bomb_npz, "a.npz", lambda path: read_npz(path, KEYS)),
        (claims_npy, "a.npy", read_npy),
        (unwritten_h5, "a.h5", lambda path: read_hdf5(path, KEYS)),
        (rows_parquet, "a.parquet", lambda path: read_errors([path])),
    ],
)
def test_a_small_file_that_stands_for_gigabytes_is_refused(tmp_path, make, name, read):
    path = tmp_path / name
    make(path)
    assert path.stat().st_size < 8_000_000
    with pytest.raises(InputError, match=str(path)):
        read(path)


def test_a_jpeg_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    whole = jpegs(tmp_path / "a.arrow").read_bytes()
    start = whole.index(b"\xff\xc0")
    huge = whole[: start + 5] + b"\xff\xdc\xff\xdc" + whole[start + 9 :]  # 65,500 x 65,500 px
    (tmp_path / "b.arrow").write_bytes(huge)
    with pytest.raises(InputError, match=r"b\.arrow: image 0 is damaged .*65500 x 65500 px"):
        read_all(tmp_path / "b.arrow")


@pytest.mark.parametrize("name", [*READERS, "samples.arrow", "memory.npz", "a.yaml"])
def test_a_pipe_a_folder_and_a_loop_are_refused_at_once(tmp_path, name):
    ours = {"samples.arrow": Samples.load, "memory.npz": PrototypeMemory.load, "a.yaml": read_yaml}
    read: Any = ours[name] if name in ours else READERS[name][1]
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{path}: is a pipe; expected a file"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=f"{path}: is a folder; expected a file"):
        read(path)
    path.rmdir()
    path.symlink_to(path)
    with pytest.raises(InputError, match=str(path)):
        read(path)


# --- params.yaml


BOMBS = {
    "anchors": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "merges": "a0: &a0 {k: 1, l: 2}\n"
    + "".join(
        f"a{i}: &a{i} {{x{i}: 1, <<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
    ),
    "itself": "a: &a [*a]\n",
    "deep": "a: " + "[" * 20_000,
    "long": "a: 1\n" * 200_000,
    "keys": "{? {? {a: 1} : 2} : 3}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_yaml_that_stands_for_too_much_is_one_line(tmp_path, name):
    (tmp_path / "params.yaml").write_text(BOMBS[name])
    with pytest.raises(InputError, match=r"params\.yaml: "):
        read_yaml(tmp_path / "params.yaml")


def test_a_large_table_of_settings_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [" + "1, " * (MAX_VALUES // 4) + "1]")
    assert len(read_yaml(tmp_path / "a.yaml")["a"]) == MAX_VALUES // 4 + 1


def test_damaged_yaml_is_refused_or_read(tmp_path):
    whole = (ROOT / "params.yaml").read_bytes()[:2500]
    assert refuses_or_reads(read_yaml, tmp_path / "params.yaml", damaged(whole, 60)) > 10


# --- settings


OWNERS = [
    *(Machine, Images, Cluster, Train, Evaluate, ReportOptions, FigureSize, Pictures),
    *(importlib.import_module(f"pmnet.datasets.{name}").Options for name in adapters()),
    *(importlib.import_module(f"pmnet.evaluation.extra.{name}").Options for name in extra.names()),
]


def leaves(kind: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the type of each plain setting."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        own = plain_type(hints[field.name])[0]
        if is_dataclass(own):
            yield from leaves(own, f"{prefix}.{field.name}")
        else:
            yield f"{prefix}.{field.name}", hints[field.name]


SETTINGS = dict(leaf for owner in OWNERS for leaf in leaves(owner, owner.__module__))


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_refused_in_one_line_or_has_its_type(name):
    kind = SETTINGS[name]
    for value in VALUES:
        for given in (value, [value], [value, value], {"x": value}):
            try:
                params.parse(kind, given, name)
            except InputError as error:
                assert str(error).startswith(name) and len(str(error)) < 600


def numbers_in(kind: Any) -> Iterator[Any]:
    """Yield the types of the numbers that a setting holds."""
    own, _ = plain_type(kind)
    if own in (int, float):
        yield kind
    for inner in get_args(own):
        yield from numbers_in(inner)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_number_has_a_range(name):
    for kind in numbers_in(SETTINGS[name]):
        for value in (float("nan"), float("inf"), -(10**9), 10**13, 10**400):
            if plain_type(kind)[0] is float or isinstance(value, int):
                with pytest.raises(InputError, match=f"{name}: expected (at |above|a finite)"):
                    params.parse(kind, value, name)


@pytest.mark.parametrize("seeds", [[-1], [0, 0], [], [2**32], [0.5], 0])
def test_seeds_are_whole_numbers_each_once(seeds):
    with pytest.raises(InputError, match=r"^train\.seeds(\[0\])?: expected "):
        params.parse(SETTINGS["pmnet.training.options.seeds"], seeds, "train.seeds")


def test_no_further_selections_are_an_empty_list():
    assert params.parse(SETTINGS["pmnet.evaluation.options.also"], [], "evaluate.also") == []


@pytest.mark.parametrize("device", ["mps", "xpu", "meta", "cpu:1", "cuda:-1", "cuda:x", "", "gpu"])
def test_other_devices_are_refused(device):
    with pytest.raises(
        InputError, match=r"machine\.device is .*; pmnet computes on auto, cpu, cuda"
    ):
        device_of(replace(MACHINE, device=device))
