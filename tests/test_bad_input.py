"""What users get wrong: the stage names the file or key, and leaves nothing behind."""

import json
import math
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny_world import (
    CLUSTER,
    MACHINE,
    OPTIONS,
    World,
    draw_samples,
    evaluating,
    write_images,
    write_world,
)

from pmnet.body import OPEN_BODY
from pmnet.core import checkpoints
from pmnet.core.errors import InputError
from pmnet.core.stage import command
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset, synthetic
from pmnet.images.file import write_pixels
from pmnet.images.options import Images
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.report.options import Pictures
from stages.body import body as check_body
from stages.cluster import cluster
from stages.contact_sheet import contact_sheet
from stages.evaluate import evaluate
from stages.images import images
from stages.ingest import ingest
from stages.prototypes import prototypes
from stages.sets import sets
from stages.train import train

RENDER = Images(
    size_px=32,
    context=1.0,
    max_missing=0.0,
    upright=None,
    max_megapixels=179,
    encoding="raw",
    jpeg_quality=90,
    supersampling=1,
    variety=0.1,
    skin_share=0.0,
    seed=0,
)
SMALL = Pictures(bodies=1, size_px=32)
VIEW = {
    "yaw_spread_deg": 15.0,
    "yaw_uniform": 0.0,
    "pitch_spread_deg": 8.0,
    "roll_spread_deg": 3.0,
    "margin": 0.9,
    "margin_spread": 0.0,
    "shift": 0.0,
}
DATASET = Dataset(
    adapter="synthetic",
    split="train",
    source=Path(synthetic.__file__),
    options={
        "samples": 3,
        "families": {"stand": 1.0},
        "jitter_deg": 5.0,
        "betas_spread": 0.5,
        "view": VIEW,
        "seed": 1,
    },
)


@pytest.fixture
def world(tmp_path, monkeypatch, body) -> World:
    """Return the files of a small world; what happens to the folder is watched."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path.parent / f"{tmp_path.name}_work")
    monkeypatch.chdir(tmp_path)
    return write_world(tmp_path, body)


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def refused(match: str):
    """Expect an InputError that names `match` and a folder that is as it was."""
    before = listing(Path.cwd())
    with pytest.raises(InputError, match=match):
        yield
    assert listing(Path.cwd()) == before


def write_sets(world: World) -> Path:
    path = world.samples.parent / "sets.json"
    path.write_text(json.dumps({"samples": [str(world.samples)], "images": [str(world.images)]}))
    return path


def run_cluster(world: World, **options: Any) -> None:
    cluster(
        write_sets_once(world), world.body, Path("new.npz"), replace(CLUSTER, **options), MACHINE
    )


def run_train(world: World, **options: Any) -> None:
    where = write_sets_once(world), world.memory, world.body, Path("new")
    train(*where, 0, replace(OPTIONS, steps=1, **options), MACHINE)


def run_evaluate(world: World) -> None:
    files = write_sets_once(world), world.memory, Path("train"), world.body
    evaluate("run", *files, Path("new.parquet"), [0], evaluating(world.single), MACHINE)


def run_images(world: World) -> None:
    images(world.samples, world.body, Path("new.arrow"), "test", RENDER, MACHINE)


def run_sheet(world: World) -> None:
    contact_sheet(world.samples, world.images, Path("new.png"), SMALL)


def write_sets_once(world: World) -> Path:
    path = world.samples.parent / "sets.json"
    return path if path.exists() else write_sets(world)


Run = Callable[[World], None]
READ_SAMPLES: tuple[Run, ...] = (run_cluster, run_train, run_images, run_sheet)


# --- samples


@pytest.mark.parametrize("run", READ_SAMPLES, ids=lambda run: run.__name__)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_samples_cut_short(world, run, share):
    write_sets(world)
    broken.cut(world.samples, share)
    with refused(r"samples\.arrow: not a file of samples, or cut short"):
        run(world)


@pytest.mark.parametrize("run", READ_SAMPLES, ids=lambda run: run.__name__)
def test_no_samples_file(world, run):
    write_sets(world)
    world.samples.unlink()
    with refused(r"samples\.arrow: no such file of samples; run the ingest stage"):
        run(world)


@pytest.mark.parametrize("run", READ_SAMPLES, ids=lambda run: run.__name__)
def test_a_pose_that_is_nan(world, run):
    write_sets(world)
    table = Samples.load(world.samples)
    pose = table.body_pose.clone()
    pose[4, 7] = torch.nan
    replace(table, body_pose=pose).save(world.samples)
    with refused(r"samples\.arrow: body_pose of row 4 \(.*\) is NaN or infinite, as are 1 of 24"):
        run(world)


@pytest.mark.parametrize("run", READ_SAMPLES, ids=lambda run: run.__name__)
def test_a_missing_column(world, run):
    write_sets(world)
    with pa.ipc.open_file(str(world.samples)) as reader:
        table = reader.read_all().drop_columns(["betas"])
    with pa.ipc.new_file(str(world.samples), table.schema) as writer:
        writer.write_table(table)
    with refused(r"samples\.arrow: column betas must be"):
        run(world)


def test_samples_of_another_body(world):
    write_sets(world)
    table = Samples.load(world.samples)
    replace(table, about=replace(table.about, body="another")).save(world.samples)
    for run in (run_cluster, run_train):
        with refused(r"samples\.arrow: ingested with another body model"):
            run(world)


def test_samples_without_a_camera_are_not_rendered(world):
    table = Samples.load(world.samples)
    camera = table.camera.clone()
    camera[2] = torch.nan
    replace(table, camera=camera).save(world.samples)
    with refused(r"samples\.arrow: row 2 has no camera"):
        run_images(world)


def test_upright_pictures_of_an_unknown_data_set(world):
    Path("params.yaml").write_text("datasets: {mine: {}}")
    options = replace(RENDER, upright=["mine", "theirs"])
    with refused("images.upright: no data set theirs; there are: mine"):
        images(world.samples, world.body, Path("new.arrow"), "test", options, MACHINE)


def test_no_samples_at_all(world):
    write_sets(world)
    none = torch.empty(0, dtype=torch.long)
    Samples.load(world.samples).select(none).save(world.samples)
    with refused(r"samples\.arrow: no samples"):
        run_images(world)
    with refused("cluster.k is 3: it must be from 1 to the 0 training samples"):
        run_cluster(world)


# --- memory


def test_more_prototypes_than_samples(world):
    write_sets(world)
    with refused("cluster.k is 25: it must be from 1 to the 24 training samples"):
        run_cluster(world, k=25)
    with refused("cluster.k is 0"):
        run_cluster(world, k=0)


def run_prototypes(world: World) -> None:
    prototypes(world.memory, world.body, Path("new.png"), SMALL)


READ_MEMORY: tuple[Run, ...] = (run_train, run_evaluate, run_prototypes)


@pytest.mark.parametrize("run", READ_MEMORY, ids=lambda run: run.__name__)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_memory_cut_short(world, run, share):
    write_sets(world)
    broken.cut(world.memory, share)
    with refused(r"memory\.npz: not a readable \.npz"):
        run(world)


def test_a_memory_that_cannot_be_decompressed(world):
    broken.spoil(world.memory)
    with refused(r"memory\.npz: not a readable \.npz"):
        run_prototypes(world)


@pytest.mark.parametrize("key", ["rotvecs", "assignments", "camera", "header"])
def test_a_memory_without_a_key(world, key):
    with np.load(world.memory) as archive:
        arrays = {name: archive[name] for name in archive.files if name != key}
    np.savez(world.memory, **arrays)
    with refused(rf"memory\.npz: not a prototype memory .*{key}"):
        run_prototypes(world)


def test_a_memory_of_other_samples(world, body):
    write_sets(world)
    draw_samples(body, 20).save(world.samples)
    write_images(world.images, 20)
    with refused("the memory assigns 24 samples, the files hold 20; run the cluster stage again"):
        run_train(world)


def test_a_memory_of_another_body(world):
    write_sets(world)
    replace(PrototypeMemory.load(world.memory), body="another").save(world.memory)
    with refused(r"memory\.npz: made with another body model"):
        run_train(world)


# --- images


@pytest.mark.parametrize("run", [run_train, run_sheet], ids=lambda run: run.__name__)
def test_no_images_file(world, run):
    write_sets(world)
    world.images.unlink()
    with refused(r"images\.arrow: no such file of images; run the images stage"):
        run(world)


@pytest.mark.parametrize("run", [run_train, run_sheet], ids=lambda run: run.__name__)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_images_cut_short(world, run, share):
    write_sets(world)
    broken.cut(world.images, share)
    with refused(r"images\.arrow: not a file of images, or cut short"):
        run(world)


@pytest.mark.parametrize("run", [run_train, run_sheet], ids=lambda run: run.__name__)
def test_a_file_of_no_images(world, run):
    write_sets(world)
    write_pixels(world.images, [], 64, "raw")
    with refused(r"images\.arrow: holds no images"):
        run(world)


def test_images_of_another_number(world):
    write_sets(world)
    write_images(world.images, 23)
    with refused(r"samples\.arrow: 24 samples, but 23 images; run the images stage again"):
        run_train(world)


# --- training and evaluation


def test_an_unknown_encoder(world):
    write_sets(world)
    with refused("train.encoder: 'resnet5' is no network of torchvision and no EfficientNet-Lite"):
        run_train(world, encoder="resnet5")


def test_no_weights(world):
    write_sets(world)
    with refused(r"seed_0\.pt: no such file of weights; run the train stage first"):
        run_evaluate(world)


def test_the_evaluation_removes_the_weights_of_seeds_that_are_no_longer_trained(world):
    write_sets(world)
    for seed in (0, 1):
        where = write_sets_once(world), world.memory, world.body, Path("train")
        train(*where, seed, replace(OPTIONS, steps=1), MACHINE)
    run_evaluate(world)
    assert {path.name for path in Path("train").iterdir()} == {"seed_0.pt", "seed_0.csv"}
    assert not list(checkpoints.FOLDER.glob("*.ckpt"))


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_broken_weights(world, content):
    write_sets(world)
    (world.samples.parent / "train").mkdir()
    (world.samples.parent / "train/seed_0.pt").write_bytes(content)
    with refused(r"seed_0\.pt: not a readable file of weights"):
        run_evaluate(world)


def test_weights_that_are_none_of_ours(world):
    write_sets(world)
    (world.samples.parent / "train").mkdir()
    torch.save({"weight": torch.zeros(3)}, world.samples.parent / "train/seed_0.pt")
    with refused(r"seed_0\.pt: not a file of weights of the train stage"):
        run_evaluate(world)


# --- body, data sets, sets


def body_file(path: Path, **changed: Any) -> Path:
    with np.load(OPEN_BODY) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays |= changed
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_broken_bodies(world):
    cut = body_file(Path("cut.npz"))
    broken.cut(cut, 0.7)
    missing = body_file(Path("missing.npz"), weights=None)
    for file, match in (
        (cut, r"cut\.npz: not a readable \.npz"),
        (missing, r"missing\.npz: not an SMPL model: missing weights"),
        (Path("none.npz"), r"none\.npz: no such body model"),
    ):
        with refused(match):
            check_body(file, Path("new.npz"), {}, "runs/single/memory.npz")


def test_a_body_with_a_nan(world):
    with np.load(OPEN_BODY) as archive:
        template = archive["v_template"].copy()
    template[5, 1] = math.nan
    file = body_file(Path("nan.npz"), v_template=template)
    with refused(r"nan\.npz: v_template"):
        check_body(file, Path("new.npz"), {}, "runs/single/memory.npz")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"adapter": "smplify"}, r"datasets\.toy\.adapter: 'smplify' is not one of amass, "),
        ({"options": {**DATASET.options, "fps": 3}}, r"datasets\.toy\.options\.fps: unknown"),
        ({"options": {**DATASET.options, "seed": "a"}}, r"datasets\.toy\.options\.seed: expected"),
        (
            {"options": {**DATASET.options, "samples": 0}},
            r"toy\.options\.samples: expected at least 1",
        ),
        ({"options": {**DATASET.options, "families": {"fly": 1.0}}}, "toy: no family called fly"),
    ],
)
def test_a_wrong_data_set(world, changed, match):
    with refused(match):
        ingest("toy", world.body, Path("new.arrow"), replace(DATASET, **changed))


@pytest.mark.parametrize(
    ("split", "lacking"), [("test", "train"), ("train", "test"), ("train", "validation")]
)
def test_a_split_without_a_data_set(world, split, lacking):
    evaluated = "validation" if lacking == "validation" else "test"
    with refused(f"datasets: none has split '{lacking}', which .* needs; add one"):
        outs = (Path(f"{name}.json") for name in ("train", "validation", "test"))
        sets(*outs, {"toy": replace(DATASET, split=split)}, evaluated)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"samples": 3}'])
def test_a_broken_list_of_sets(world, content):
    Path("sets.json").write_text(content)
    with refused(r"sets\.json: not a list of data sets"):
        run_cluster(world)


# --- params.yaml, through the command of a stage


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"size": 32}, "params.yaml: images.size: unknown parameter; known are: size_px"),
        ({"encoding": "png"}, "params.yaml: images.encoding: 'png' is not one of raw, jpeg"),
        ({"size_px": 32.5}, "params.yaml: images.size_px: expected int, got 32.5"),
        ({"size_px": None}, "params.yaml: images.size_px: expected int"),
    ],
)
def test_a_wrong_parameter(world, monkeypatch, capsys, changed, named):
    content = {"images": asdict(RENDER) | changed, "machine": asdict(MACHINE)}
    Path("params.yaml").write_text(json.dumps(content))  # JSON is YAML
    words = ["--samples", str(world.samples), "--body", str(world.body), "--out", "new.arrow"]
    words += ["--split", "test"]
    monkeypatch.setattr(sys, "argv", ["images", *words])
    before = listing(Path.cwd())
    with pytest.raises(SystemExit) as left:
        command(images)
    assert left.value.code == 1
    assert named in capsys.readouterr().err
    assert listing(Path.cwd()) == before
