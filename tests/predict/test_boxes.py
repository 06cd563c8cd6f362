"""Files of boxes: the layouts agree, and wrong files are refused by name, key and row."""

import json

import numpy as np
import pytest

from pmnet.core.errors import InputError
from pmnet.predict.boxes import read_boxes

NAMES = ["a.jpg", "b/c.png", "a.jpg"]
BOX = np.array([[10.0, 20.0, 50.0, 120.0], [0.0, 0.0, 30.0, 40.0], [60.0, 20.0, 90.0, 120.0]])
SQUARES = {"a.jpg": [[-30, 10, 90, 130], [15, 10, 135, 130]], "b/c.png": [[-9, -4, 39, 44]]}


def write(folder, kind):
    path = folder / f"boxes.{kind.split('_')[0]}"
    rows = [dict(zip(("x0", "y0", "x1", "y1"), b, strict=True)) for b in BOX.tolist()]
    if kind == "csv":
        lines = ["image_name,x0,y0,x1,y1"]
        lines += [f"{n},{','.join(map(str, r.values()))}" for n, r in zip(NAMES, rows, strict=True)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    elif kind == "csv_centred":
        lines = ["image_name,center_x,center_y,scale,person"]
        for person, (name, b) in enumerate(zip(NAMES, BOX, strict=True)):
            center, side = (b[:2] + b[2:]) / 2, (b[2:] - b[:2]).max() * 1.2
            lines.append(f"{name},{center[0]},{center[1]},{side / 200},{person}")
        path.write_text("\n".join(lines))
    elif kind == "json":
        boxes = {"a.jpg": BOX[[0, 2]].tolist(), "b/c.png": BOX[[1]].tolist()}
        path.write_text(json.dumps(boxes))
    elif kind == "json_list":
        pairs = zip(NAMES, BOX.tolist(), strict=True)
        path.write_text(json.dumps([{"image_name": n, "box": b} for n, b in pairs]))
    elif kind == "json_coco":
        images = [{"id": i, "file_name": n} for i, n in enumerate(sorted(set(NAMES)))]
        ids = {one["file_name"]: one["id"] for one in images}
        people = [
            {"image_id": ids[n], "category_id": 1, "bbox": [*b[:2], *(b[2:] - b[:2])]}
            for n, b in zip(NAMES, BOX, strict=True)
        ]
        dog = {"image_id": 0, "category_id": 18, "bbox": [0, 0, 1, 1]}
        path.write_text(json.dumps({"images": images, "annotations": [dog, *people]}))
    else:
        np.savez(path, image_name=np.array(NAMES), box=BOX)
    return path


@pytest.mark.parametrize("kind", ["csv", "csv_centred", "json", "json_list", "json_coco", "npz"])
def test_all_layouts_give_the_same_squares(tmp_path, kind):
    people = read_boxes(write(tmp_path, kind), 1.2)
    assert {name: one.squares.round(6).tolist() for name, one in people.items()} == SQUARES
    numbers = (0, 2) if kind == "csv_centred" else (0, 1)
    assert people["a.jpg"].numbers == numbers


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("b.csv", "image_name,x0\na.jpg,1", "x0, y0, x1, y1"),
        ("b.csv", "", "no row"),
        ("b.csv", "image_name,x0,y0,x1,y1\na.jpg,1,2,three,4", "column 'x1' row 0 is 'three'"),
        ("b.csv", "image_name,x0,y0,x1,y1\na.jpg,1,2,3", "column 'y1' row 0 is None"),
        ("b.csv", "image_name,x0,y0,x1,y1\na.jpg,10,10,5,5", "x0 < x1"),
        ("b.csv", "image_name,x0,y0,x1,y1\na.jpg,nan,10,50,50", "'box' row 0 is NaN"),
        ("b.csv", "image_name,center_x,center_y,scale\na,1,1,0", "'scale' row 0"),
        ("b.csv", "image_name,x0,y0,x1,y1,person\na,0,0,9,9,1\na,0,0,8,8,1", "one number"),
        ("b.csv", "image_name,x0,y0,x1,y1,person\na,0,0,9,9,nan", "'person' row 0 is NaN"),
        (
            "b.csv",
            "image_name,x0,y0,x1,y1,person\na,0,0,9,9,1.7",
            "'person' row 0 is 1.7; expected a",
        ),
        ("b.csv", "x0,y0,x1,y1,image_name\n1,2,3,4", "'image_name' row 0 is empty"),
        ("b.csv", "image_name,x0,y0,x1,y1\n,1,2,3,4", "'image_name' row 0 is empty"),
        (
            "b.json",
            '[{"image_name": "a", "box": [0, 0, 9, 9], "person": 7}, '
            '{"image_name": "b", "box": [0, 0, 9, 9]}]',
            "'person' of record 1",
        ),
        ("b.json", "[1, 2]", "not a list of records"),
        ("b.json", '{"a.jpg": [[1, 2, 3]]}', "'box' of record 0"),
        ("b.json", "{", "not readable JSON"),
        ("b.npz", "x", "not a readable .npz"),
        ("b.txt", "x", "ends in .csv"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, content, fault):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=fault.replace("(", r"\(")):
        read_boxes(tmp_path / name, 1.2)


def test_npz_without_boxes_and_missing_files_are_refused(tmp_path):
    np.savez(tmp_path / "b.npz", image_name=np.array(["a.jpg"]))
    with pytest.raises(InputError, match="neither 'box'"):
        read_boxes(tmp_path / "b.npz", 1.2)
    with pytest.raises(InputError, match="no such file"):
        read_boxes(tmp_path / "other.csv", 1.2)
