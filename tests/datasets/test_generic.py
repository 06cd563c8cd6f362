"""A user's own npz or csv, and the template: what is written is read, what is wrong is named."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pytest
from layouts_others import N, box, edit_npz, nan_at, people, with_confidence
from people import open_body, overlap

from pmnet import datasets
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import generic
from pmnet.datasets.generic.table import write_csv


def columns() -> dict[str, np.ndarray]:
    """Return the people as a user's arrays."""
    center, scale = box(people())
    return {
        "image_name": np.array([f"photos/{row}.jpg" for row in range(N)]),
        "center": center,
        "scale": scale,
        "poses": people().poses,
        "betas": people().betas,
        "has_smpl": np.array([1, 1, 1, 1, 1, 0]),
        "keypoints_2d": with_confidence(people().keypoints_px),
        "keypoints_3d": with_confidence(people().keypoints_m + 4.0),
        "gender": np.array(["m", "female", "n", "", "F", "neutral"]),
        "subject": np.array(["a", "a", "b", "b", "c", "c"]),
        "sequence": np.array(["1", "1", "2", "2", "3", "3"]),
    }


def write(folder: Path, kind: str, **changed: Any) -> Path:
    """Write the people as own.npz or own.csv; a key that is None is left out."""
    values = {key: v for key, v in (columns() | changed).items() if v is not None}
    path = folder / f"own.{kind}"
    if kind == "npz":
        np.savez(path, **values)
    else:
        with path.open("w", newline="") as stream:
            write_csv(stream, values)
    return path


def edit_csv(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    """Change the cells of a csv; the first row is the header."""
    with path.open(newline="") as stream:
        cells = list(csv.reader(stream))
    change(cells)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(cells)


def read(path: Path) -> Samples:
    options = {"images": str(path.parent), "measured": "j14"}
    entry = datasets.Dataset("generic", "train", path, options)
    return datasets.read("own", entry, open_body(), "datasets.own")


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_the_mesh_lies_over_the_person(tmp_path, kind):
    samples = read(write(tmp_path, kind, has_smpl=None))
    assert samples.has_smpl.all() and samples.has_keypoints_3d.all()
    assert overlap(samples, people(), range(N)).min() >= 0.9
    poses = np.concatenate([samples.global_orient, samples.body_pose], 1)
    np.testing.assert_allclose(poses, people().poses, atol=1e-6)
    np.testing.assert_allclose(samples.betas, people().betas, atol=1e-6)
    np.testing.assert_allclose(samples.keypoints_2d[..., :2], people().keypoints_px, atol=1e-3)
    expected = people().keypoints_m - people().keypoints_m[:, [J24.index("pelvis")]]
    np.testing.assert_allclose(samples.keypoints_3d[..., :3], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_texts_and_flags(tmp_path, kind):
    samples = read(write(tmp_path, kind))
    assert samples.has_smpl.tolist() == [True] * 5 + [False]
    assert samples.gender == ["male", "female", "neutral", "", "female", "neutral"]
    assert samples.subject == list("aabbcc") and samples.sequence == list("112233")
    assert samples.image_name[2] == "photos/2.jpg" and samples.about.root == str(tmp_path)


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_only_the_box_is_required(tmp_path, kind):
    wanted = generic.REQUIRED
    samples = read(write(tmp_path, kind, **{key: None for key in columns() if key not in wanted}))
    assert len(samples) == N and not samples.has_smpl.any() and not samples.has_keypoints_3d.any()


def test_a_csv_may_have_a_few_joints_and_empty_cells(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text(
        "image_name,center_x,center_y,scale,left_wrist_x,left_wrist_y,nose_x,nose_y,"
        "nose_confidence\n1.jpg,50,60,1,40,30,,,\n2.jpg,50,60,1,,,44,55,0.5\n"
    )
    keypoints = read(path).keypoints_2d
    wrist, nose = J24.index("left_wrist"), J24.index("nose")
    assert keypoints[0, wrist].tolist() == [40, 30, 1] and not keypoints[1, wrist].any()
    assert keypoints[1, nose].tolist() == [44, 55, 0.5] and not keypoints[0, nose].any()
    assert (keypoints[..., 2] > 0).sum() == 2


def test_a_csv_of_a_spreadsheet_or_without_rows(tmp_path):
    path = write(tmp_path, "csv")
    text = path.read_text()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())  # as Excel saves it
    assert read(path).subject == list("aabbcc")
    path.write_text(text.split("\n")[0] + "\n")
    with pytest.raises(InputError, match=r"own\.csv: has no rows"):
        read(path)


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_the_template_is_read_as_it_is(tmp_path, kind):
    path = tmp_path / f"template.{kind}"
    generic.write_template(path)
    samples = read(path)
    assert len(samples) == 2 and samples.has_smpl.all() and samples.has_keypoints_3d.all()
    assert samples.keypoints_2d[..., 2].all() and samples.sequence == ["walk", "walk"]
    body = open_body()
    made = body.keypoints(body.vertices(samples.body_params()))
    pelvis = J24.index("pelvis")
    np.testing.assert_allclose(made - made[:, [pelvis]], samples.keypoints_3d[..., :3], atol=2e-3)
    first = path.read_bytes()
    generic.write_template(path)
    assert kind == "npz" or path.read_bytes() == first
    (found,) = generic.find(tmp_path)
    assert found.source == path and len(read(found.source)) == 2


def test_the_template_has_one_of_two_endings(tmp_path):
    with pytest.raises(InputError, match=r"own\.xlsx: the template is an \.npz or a \.csv"):
        generic.write_template(tmp_path / "own.xlsx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_the_file_is_found_with_its_images(tmp_path, kind):
    path = write(tmp_path, kind)
    (tmp_path / "pictures" / "photos").mkdir(parents=True)
    people().write(0, tmp_path / "pictures" / "photos" / "0.jpg")
    (tmp_path / "prices.csv").write_text("scale,price\n1,2\n")
    (found,) = generic.find(tmp_path)
    assert found.source == path and found.options["images"] == str(tmp_path / "pictures")


def set_cell(row: int, column: str, value: str) -> Callable[[Path], None]:
    def change(cells: list[list[str]]) -> None:
        cells[row + 1][cells[0].index(column)] = value

    return lambda path: edit_csv(path, change)


def rename(old: str, new: str) -> Callable[[Path], None]:
    def change(cells: list[list[str]]) -> None:
        cells[0][cells[0].index(old)] = new

    return lambda path: edit_csv(path, change)


def npz(**changed: Any) -> Callable[[Path], None]:
    return lambda path: edit_npz(path, **changed)


BROKEN_NPZ = [
    ("no scale", npz(scale=None), r"own\.npz: key 'scale' is missing"),
    ("misspelt", npz(keypoint_2d=np.zeros((N, 24, 3))), "did you mean 'keypoints_2d'"),
    ("poses alone", npz(betas=None), "poses and betas belong together"),
    ("300 betas", npz(betas=np.zeros((N, 300))), r"'betas' is float64 of shape \(6, 300\)"),
    ("short", npz(subject=lambda texts: texts[:3]), "rows differ in number: .*subject 3"),
    ("NaN", npz(poses=nan_at(3)), "'poses' row 3 is NaN"),
    ("NaN centre", npz(center=nan_at(1)), "'center' row 1 is NaN"),
    ("scale in px", npz(scale=lambda scale: scale * 200), "divide by 200"),
    ("degrees", npz(poses=np.degrees), "look like degrees"),
    ("millimetres", npz(keypoints_3d=lambda points: points * 1000), "millimetres"),
    ("-1 to 1", npz(keypoints_2d=lambda points: points / [300, 300, 1]), "no joint in its box"),
    ("gender code", npz(gender=np.array(["0", "1"] * 3)), "'gender' row 0 is '0'"),
    ("objects", npz(subject=np.array([{}] * N, object)), r"own\.npz: .subject. row 0 is a dict"),
    ("cut", lambda path: broken.cut(path, 0.4), r"own\.npz: not a readable \.npz"),
]  # fmt: skip
BROKEN_CSV = [
    ("semicolons", lambda path: path.write_text(path.read_text().replace(",", ";")) and None,
     r"own\.csv: the header is not separated by commas"),
    ("text", set_cell(2, "scale", "wide"), r"own\.csv: column 'scale' row 2 is 'wide'; expected a number"),
    ("text in a joint", set_cell(1, "nose_x", "left"), "column 'nose_x' row 1 is 'left'"),
    ("empty scale", set_cell(4, "scale", ""), "'scale' row 4 is NaN"),
    ("no image_name", rename("image_name", "subject_"), "column 'subject_' is not known"),
    ("pose missing", rename("pose_5", "beta_5"), "column 'beta_5' appears twice"),
    ("half a joint", lambda path: edit_csv(path, lambda cells: [
        row.pop(cells[0].index("nose_y")) for row in reversed(cells)]),
     "column 'nose_y' is missing; 'nose_x' is there"),
    ("71 poses", lambda path: edit_csv(path, lambda cells: [
        row.pop(cells[0].index("pose_7")) for row in reversed(cells)]),
     "column 'pose_7' is missing; 'pose_0' is there"),
    ("cut", lambda path: broken.cut(path, 0.8), r"own\.csv: row \d has \d+ cells; the header has"),
    ("empty", lambda path: path.write_text("") and None, r"own\.csv: not a csv with a header"),
    ("no text", lambda path: path.write_bytes(b"\xff\xfe\x00") and None, "is in UTF-16; save it anew"),
    ("gone", lambda path: path.unlink(), r"own\.csv: cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [("npz", *case[1:]) for case in BROKEN_NPZ] + [("csv", *case[1:]) for case in BROKEN_CSV],
    ids=[case[0] for case in BROKEN_NPZ + BROKEN_CSV],
)
def test_what_is_wrong_is_named(tmp_path, kind, damage, message):
    path = write(tmp_path, kind)
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    generic.find(tmp_path)
