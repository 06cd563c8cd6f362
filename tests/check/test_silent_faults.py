"""Faults that users met elsewhere, which nobody saw: each kind with its siblings, and all in one folder."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import layouts_others
import layouts_wild
import numpy as np
import pytest
from layouts_others import box, with_confidence
from people import draw_people, open_body
from PIL import Image
from typer.testing import CliRunner

from pmnet import cli
from pmnet.check import dataset_report

N = 6
PEOPLE = draw_people(N)
Write = Callable[[Path], None]


def own(root: Path, **changed: Any) -> Path:
    """Write six people in the layout of `generic`, with photographs; None leaves a key out."""
    center, scale = box(PEOPLE)
    values: dict[str, Any] = {
        "image_name": np.array([f"photos/{row}.jpg" for row in range(N)]),
        "center": center,
        "scale": scale,
        "poses": PEOPLE.poses,
        "betas": PEOPLE.betas,
        "keypoints_2d": with_confidence(PEOPLE.keypoints_px),
        "keypoints_3d": with_confidence(PEOPLE.keypoints_m),
    } | changed
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "own.npz", **{key: v for key, v in values.items() if v is not None})
    for row in range(N):
        PEOPLE.write(row, root / f"photos/{row}.jpg")
    return root / "own.npz"


def own_with(**changed: Any) -> Write:
    return lambda root: own(root, **changed) and None


def at(row: int, value: float, values: np.ndarray) -> np.ndarray:
    changed = values.astype(float)
    changed[row] = value
    return changed


def confidence(value: float, key: str = "keypoints_2d") -> Write:
    points = PEOPLE.keypoints_px if key == "keypoints_2d" else PEOPLE.keypoints_m
    return own_with(**{key: with_confidence(points, value)})


def scales(*values: float) -> Write:
    return own_with(scale=np.r_[values, box(PEOPLE)[1][len(values) :]])


def eft(change: Callable[[dict[str, Any], int], None]) -> Write:
    """Write COCO with EFT's fits, of which each record is changed."""

    def write(root: Path) -> None:
        layouts_wild.write_spin(root, PEOPLE, "coco")
        path = layouts_wild.write_fits(root, PEOPLE, "coco", "eft")
        content = json.loads(path.read_text())
        for row, record in enumerate(content["data"]):
            change(record, row)
        path.write_text(json.dumps(content))

    return write


def coco(change: Callable[[dict[str, Any]], object]) -> Write:
    def write(root: Path) -> None:
        layouts_wild.write_raw(root, PEOPLE, "coco")
        path = layouts_wild.raw_file(root, "coco")
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return write


def renumber(first: Callable[[int], Any]) -> Callable[[dict[str, Any]], object]:
    """Return a change of the ids of COCO's images, in both lists."""

    def change(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["id"] = first(image["id"])
        for person in content["annotations"]:
            person["image_id"] = first(person["image_id"])

    return change


def csv(change: Callable[[str], bytes]) -> Write:
    def write(root: Path) -> None:
        names = [f"photos/{row}.jpg" for row in range(N)]
        center, scale = box(PEOPLE)
        lines = [f"{n},{c[0]},{c[1]},{s}" for n, c, s in zip(names, center, scale, strict=True)]
        text = "\n".join(["image_name,center_x,center_y,scale", *lines]) + "\n"
        root.mkdir(parents=True, exist_ok=True)
        (root / "own.csv").write_bytes(change(text))
        for row, name in enumerate(names):
            PEOPLE.write(row, root / name)

    return write


def stored(name: str, content: bytes) -> Write:
    def write(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)

    return write


def half(root: Path) -> None:
    broken.cut(own(root), 0.5)


def exif(root: Path) -> None:
    """Write pictures that a camera stored on their side, with labels of the upright pictures."""
    labels = with_confidence(PEOPLE.keypoints_px + np.array([0, 200]))
    own(root, center=box(PEOPLE)[0] + np.array([0, 200]), keypoints_2d=labels)
    for path in sorted((root / "photos").iterdir()):
        with Image.open(path) as picture:
            tall = Image.new("RGB", (picture.width, picture.height + 244))
            tall.paste(picture, (0, 200))
        header = Image.Exif()
        header[0x0112] = 6
        tall.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=header)


def backslashes(root: Path) -> None:
    own(root, image_name=np.array([rf"photos\{row}.jpg" for row in range(N)]))


def fits_of_nobody(root: Path) -> None:
    own(root)  # a set beside it stays in order
    eft(lambda record, row: record.update(imageName=f"other_{row}.jpg"))(root / "coco")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
PAGE = b"<!DOCTYPE html><html>Please log in.</html>"
# what is written, and the words that the report must hold: the file, the key or the row, and the cure
WRONG: dict[str, tuple[Write, tuple[str, ...]]] = {
    "confidence 2": (confidence(2), ("own.npz", "'keypoints_2d' row 0", "write 1 for 2")),
    "confidence in percent": (confidence(87), ("'keypoints_2d' row 0", "divide by 100")),
    "confidence of bytes": (confidence(255), ("the confidence 255", "divide by 255")),
    "3D confidence": (confidence(100, "keypoints_3d"), ("'keypoints_3d' row 0", "divide by 100")),
    "a flag of 2": (own_with(has_smpl=np.r_[2, [1] * 5]), ("'has_smpl' row 0 is 2", "else 0")),
    "a flag of -1": (own_with(has_smpl=np.r_[[1] * 5, -1]), ("'has_smpl' row 5 is -1",)),
    "a flag of NaN": (own_with(has_smpl=np.r_[1, np.nan, [1] * 4]), ("'has_smpl' row 1 is nan",)),
    "no boxes": (scales(0, 0, -1), ("'scale' row 0 is 0, so the person has no box", "drop")),
    "widths in px": (scales(140, 150), ("'scale' row 0 is 140", "divide by 200")),
    "Windows paths in fits": (
        eft(lambda r, _: r.update(imageName="D:\\coco\\" + r["imageName"])),
        ("0 of 6 fits and rows match", "write / for each backslash"),
    ),
    "fits of other images": (
        eft(lambda r, row: r.update(imageName=f"{row}.jpg")),
        ("COCO2014-Part-ver01.json", "0 of 6 fits and rows match", "fits of this data set"),
    ),
    "fits elsewhere in the image": (
        eft(lambda r, _: r.update(bbox_center=[5000.0, 5000.0])),
        ("0 of 6 fits and rows match", "'center'"),
    ),
    "an id twice": (
        coco(lambda c: c["images"][1].update(id=c["images"][0]["id"])),
        ("'id'", "record 1 of 'images'", "must be unique"),
    ),
    "an id as a fraction": (
        coco(renumber(lambda i: i + 0.5)),
        ("'id' of record 0", "whole number"),
    ),
    "an id that was rounded": (coco(renumber(lambda i: float(i + 2**60))), ("'id' of record 0",)),
    "no id": (coco(lambda c: c["images"][2].pop("id")), ("'id' of record 2 is None",)),
    "turned by EXIF": (exif, ("EXIF", "photos/0.jpg", "images.upright", "--exif")),
    "backslashes": (backslashes, ("6 of 6 images are not below", "write / for each backslash")),
    "half an npz": (half, ("own.npz", "not a readable .npz")),
    "semicolons": (
        csv(lambda t: t.replace(",", ";").encode()),
        ("own.csv", "not separated by commas"),
    ),
    "tabs": (csv(lambda t: t.replace(",", "\t").encode()), ("own.csv", "not separated by commas")),
    "sep line": (csv(lambda t: ("sep=,\n" + t).encode()), ("own.csv", "'sep='")),
    "utf-16": (csv(lambda t: t.encode("utf-16")), ("own.csv", "UTF-16", "CSV UTF-8")),
    "blanks": (csv(lambda t: t.replace(",", ", ").encode()), ("own.csv", "blanks around its name")),
    "an LFS pointer": (stored("coco_2014_train.npz", POINTER), ("Git LFS", "git lfs pull")),
    "a page as pickle": (stored("SMPL_MALE.pkl", PAGE), ("SMPL_MALE.pkl", "page of a web site")),
    "a page as json": (stored("person_keypoints_train2017.json", PAGE), ("page of a web site",)),
    "a page as mat": (stored("annot.mat", PAGE), ("annot.mat", "page of a web site")),
    "an empty h5": (stored("train.h5", b""), ("train.h5", "it is empty")),
    "a cut pickle": (stored("a.pkl", pickle.dumps({"a": 1})[:-1]), ("a.pkl", "not a whole pickle")),
    "an object": (
        own_with(subject=np.array([{}] * N, object)),
        ("own.npz: 'subject' row 0 is a dict", "plain arrays"),
    ),
}


def said(root: Path) -> str:
    done = CliRunner().invoke(cli.app, ["check", str(root)])
    assert not done.exception or isinstance(done.exception, SystemExit)
    assert done.exit_code == 1, done.output
    return done.output


@pytest.mark.parametrize("kind", WRONG)
def test_a_fault_is_named_with_its_place_and_its_cure(tmp_path, kind):
    write, words = WRONG[kind]
    write(tmp_path / "data")
    text = said(tmp_path)
    assert "all in order" not in text
    for word in words:
        assert word in text, text


def test_a_folder_with_one_of_each_kind_names_all_in_one_pass(tmp_path):
    for kind, (write, _) in WRONG.items():
        write(tmp_path / kind.replace(" ", "_"))
    own(tmp_path / "good")
    text = said(tmp_path)
    for kind, (_, words) in WRONG.items():
        assert all(word in text for word in words), kind
        assert f"/{kind.replace(' ', '_')}" in text
    done = CliRunner().invoke(cli.app, ["check", str(tmp_path), "--json"])
    reports = json.loads(done.stdout)
    assert done.exit_code == 1
    fine = {report["source"] for report in reports if not report["wrong"]}
    assert str(tmp_path / "good/own.npz") in fine
    (good,) = [r for r in reports if r["source"] == str(tmp_path / "good/own.npz")]
    assert good["compared"]["bodies with 2D joints"] == N


def note(root: Path) -> str:
    """Return what is said of data in order."""
    done = CliRunner().invoke(cli.app, ["check", str(root)])
    assert done.exit_code == 0, done.output
    return done.output


# --- what is in order, although it looks odd


def hmr2_as(name: str) -> Write:
    def write(root: Path) -> None:
        layouts_others.write_hmr2(root, PEOPLE)
        (root / "coco_train.npz").rename(root / name)

    return write


def amass(root: Path, name: str = "walk_poses.npz", **changed: Any) -> Path:
    poses = np.zeros((30, 156))
    poses[:, 0] = np.pi / 2  # the world's z is up
    poses[:, 55] = np.linspace(-1, 0, 30)
    values = {"poses": poses, "betas": np.zeros(16), "gender": "male", "mocap_framerate": 30.0}
    clip = root / "S1" / name
    clip.parent.mkdir(parents=True, exist_ok=True)
    np.savez(clip, **values | changed)
    return clip


def amass_and(name: str, content: bytes) -> Write:
    def write(root: Path) -> None:
        (amass(root).parent / name).write_bytes(content)

    return write


def amass_and_npz(root: Path) -> None:
    np.savez(amass(root).parent / "result.npz", results=np.zeros(3))


def spin_as(name: str) -> Write:
    def write(root: Path) -> None:
        layouts_wild.write_spin(root, PEOPLE, "coco")
        path = next(root.rglob("coco_2014_train.npz"))
        path.rename(path.with_name(name))

    return write


def objects(root: Path) -> None:
    names = np.array([f"photos/{row}.jpg" for row in range(N)], object)
    own(root, image_name=names, gender=np.array([b"m", "f"] * 3, object), subject=np.array(None))


def closeup(root: Path) -> None:
    """Write BEDLAM whose first scene was taken with the camera on its side."""
    layouts_others.write_bedlam(root, PEOPLE)
    first = sorted((root / "all_npz_12_training").iterdir())[0]
    scene = "20221011_1_250_batch01hand_closeup_suburb_a_6fps"
    (root / "training_images" / first.stem).rename(root / "training_images" / scene)
    first.rename(first.with_stem(scene))
    for path in (root / "training_images" / scene).rglob("*.png"):
        with Image.open(path) as picture:
            turned = picture.transpose(Image.Transpose.ROTATE_90)
        turned.resize((turned.width, turned.width)).save(path)


RIGHT: dict[str, tuple[Write, tuple[str, ...]]] = {
    "one box of 0": (scales(0), ("1 dropped: no box", "5 samples")),
    "one box of -1": (scales(-1), ("1 dropped: no box", "5 samples")),
    "OpenPose's confidence": (confidence(1.05), ("6 bodies with 2D joints",)),
    "64-bit ids": (coco(renumber(lambda i: i + 2**60)), ("6 pictures with their boxes",)),
    "text ids": (coco(renumber(str)), ("6 pictures with their boxes",)),
    "ids as 7.0": (coco(renumber(float)), ("6 pictures with their boxes",)),
    "HMR 2.0 as SPIN's LSPET": (hmr2_as("hr-lspet_train.npz"), ("hmr2:", "1 data sets, all")),
    "HMR 2.0 as SPIN's COCO": (hmr2_as("coco_2014_train.npz"), ("hmr2:", "1 data sets, all")),
    "HMR 2.0 as H36M": (hmr2_as("h36m_val_p2.npz"), ("hmr2:", "1 data sets, all")),
    "HMR 2.0 as MPI-INF-3DHP": (hmr2_as("mpi_inf_3dhp_train.npz"), ("hmr2:", "1 data sets, all")),
    "SPIN's layout by its keys": (
        spin_as("coco-full-eft.npz"),
        ("spin: SPIN's npz under another",),
    ),
    "AGORA in SPIN's layout": (spin_as("agora_train.npz"), ("spin: SPIN's npz under another",)),
    "a foreign npz among clips": (amass_and_npz, ("result.npz", "files left out")),
    "a foreign pickle": (
        amass_and("dance.pkl", pickle.dumps({"smpl_poses": np.zeros((9, 72))})),
        ("dance.pkl", "files left out"),
    ),
    "a list in a pickle": (amass_and("names.pkl", pickle.dumps(["a"])), ("names.pkl",)),
    "objects": (objects, ("6 samples",)),
    "closeup scenes": (closeup, ("3 pictures of closeup scenes, turned upright",)),
    "11 betas": (
        lambda root: layouts_others.write_bedlam(root, PEOPLE),
        ("6 betas of the neutral body",),
    ),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_only_looks_odd_is_in_order_and_said(tmp_path, kind):
    write, words = RIGHT[kind]
    write(tmp_path / "data")
    text = note(tmp_path)
    assert text.rstrip().endswith("data sets, all in order")
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    "write",
    [lambda root: own(root), lambda root: amass(root), lambda root: amass(root, "take.npz")],
    ids=["generic", "clip", "clip of another name"],
)
def test_a_path_to_a_file_works_where_a_folder_does(tmp_path, write):
    path = write(tmp_path)
    text = note(path)
    assert str(path.parent) in text and "1 data sets, all in order" in text


@pytest.mark.parametrize(
    "name", ["my set", "it's", "a(1)[b]{c}", "$HOME `x` ;touch pwned;", "naïve_日本", 'a"b', "-x"]
)
def test_paths_may_hold_any_characters(tmp_path, name):
    own(tmp_path / name)
    assert "1 data sets, all in order" in note(tmp_path / name)


def test_the_exif_header_is_followed_where_the_user_says_so(tmp_path):
    exif(tmp_path)
    done = CliRunner().invoke(cli.app, ["check", str(tmp_path), "--exif"])
    assert done.exit_code == 0, done.output


def test_a_picture_that_may_be_turned_is_said_even_if_it_fits_both_ways(tmp_path):
    own(tmp_path)
    for path in (tmp_path / "photos").iterdir():
        header = Image.Exif()
        header[0x0112] = 3
        with Image.open(path) as picture:
            picture.save(path, quality=95, exif=header)
    assert "6 of 6 images that were tried are turned by the orientation" in note(tmp_path)


def test_a_set_with_nothing_to_compare_says_so(tmp_path):
    own(tmp_path, poses=None, betas=None, keypoints_2d=None, keypoints_3d=None)
    (report,) = dataset_report.check(tmp_path, open_body())
    assert report.compared["pictures with their boxes"] == N
    assert sum(report.compared.values()) == N
    for path in (tmp_path / "photos").iterdir():
        path.unlink()
    assert "compared: nothing" in said(tmp_path)
