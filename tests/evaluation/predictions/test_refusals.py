"""Predictions that cannot be right are refused with file, key or row, and what to do."""

import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from field_rules import H36M_TO_J17
from predicted import WHOLE, Predicted, mhr_vertices

from pmnet.core.errors import InputError
from pmnet.evaluation.predictions.reading import Beside, read_predictions


@pytest.fixture
def write(tmp_path, predicted):
    """Return a function that writes our npz with some keys changed, added or (None) left out."""

    def written(name: str = "mine.npz", **changed: object) -> Path:
        keys = {"image_name": predicted.names, "box": predicted.boxes, "pose": predicted.pose}
        keys |= {"betas": predicted.betas} | changed
        np.savez(tmp_path / name, **{k: v for k, v in keys.items() if v is not None})
        return tmp_path / name

    return written


def meshes(predicted: Predicted, factor: object = 1.0) -> dict[str, object]:
    return {"pose": None, "betas": None, "vertices": predicted.vertices * np.float32(factor)}


def test_what_is_in_the_file(write, predicted, tmp_path):
    nan = predicted.pose.copy()
    nan[7, 3] = np.nan
    eight = np.ones((len(predicted), 8))
    for changed, message in (
        ({"pose": nan}, r"mine\.npz: 'pose' row 7 is NaN"),
        ({"betas": eight}, r"mine\.npz: 'betas' is of shape \(40, 8\).*another body model"),
        ({"betas": None}, r"has poses, but no 'betas'"),
        ({"betas": predicted.betas[:-1]}, r"rows differ in number: pose 40, betas 39"),
        ({"pose": predicted.pose[:, :66]}, r"'pose' is float32 of shape \(40, 66\)"),
        ({"pose": predicted.matrices * 1.1}, r"'pose' row 0 holds matrices that are no rotations"),
        (
            meshes(predicted) | {"vertices": np.ones((40, 10475, 3))},
            r"vertices of SMPL-X.*--mapping",
        ),
        (
            meshes(predicted) | {"vertices": np.ones((40, 6890))},
            r"expected numbers, N x 6890 x 3 in m",
        ),
        ({"pose": None, "betas": None}, r"no known layout.*it has the keys image_name, box"),
        ({"joints": predicted.h36m, "joint_set": "coco"}, r"'joint_set' 'coco'; expected smpl24"),
    ):
        with pytest.raises(InputError, match=message):
            read_predictions(write(**changed))


def test_other_files(tmp_path, predicted):
    for name, content, message in (
        ("none.npz", None, r"none\.npz: no such file of predictions"),
        ("text.txt", b"hello", r"text\.txt: expected predictions as one of \.npz"),
        ("cut.npz", b"PK\x03\x04", r"cut\.npz: not a readable \.npz"),
        ("list.json", b"[1, 2]", r"list\.json: no known layout of predictions: it is a list of 2"),
        ("bad.json", b"{", r"bad\.json: not readable JSON"),
        ("code.pkl", pickle.dumps(print), r"code\.pkl.*asks for .*print.*refused"),
        ("empty.pkl", b"", r"empty\.pkl is empty"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_predictions(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: no file of predictions in it"):
        read_predictions(tmp_path / "folder")
    file, _ = WHOLE["pymaf_demo"](tmp_path, predicted)
    file.write_bytes(file.read_bytes()[:30_000])
    with pytest.raises(InputError, match=r"output\.pkl is truncated"):
        read_predictions(file)
    joblib.dump({0: {"pose": np.zeros((2, 72)), "betas": Path("x")}}, file)
    with pytest.raises(InputError, match=r"output\.pkl.*asks for .*refused"):
        read_predictions(file)


def test_names_that_do_not_fit(tmp_path, predicted):
    file = tmp_path / "rows.npz"
    np.savez(file, pose=predicted.pose, betas=predicted.params.betas)
    names = predicted.names.tolist()
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8-sig")
    found = read_predictions(file, Beside(names=tmp_path / "names.txt"))
    assert found.image_name == names
    for centre in (np.zeros((2, 2)), np.full((len(names), 2), "x")):
        np.savez(tmp_path / "spin.npz", imgname=names, center=centre, scale=np.ones(len(names)))
        with pytest.raises(InputError, match=r"spin\.npz: 'center' or 'scale' does not fit its"):
            read_predictions(file, Beside(names=tmp_path / "spin.npz"))


def test_a_mesh_of_mhr_needs_its_mapping(tmp_path, predicted):
    file, beside = WHOLE["sam3d_pickle"](tmp_path, predicted)
    with pytest.raises(InputError, match=r"vertices of MHR.*--mapping mhr2smpl_mapping\.npz"):
        read_predictions(file)
    with pytest.raises(InputError, match="give them with --triangles"):
        read_predictions(file, Beside(mapping=beside.mapping))
    np.save(tmp_path / "none.npy", np.zeros((0, 3), int))
    with pytest.raises(
        InputError, match=r"none\.npy: is int64 of shape \(0, 3\); expected triangles"
    ):
        read_predictions(file, Beside(mapping=beside.mapping, triangles=tmp_path / "none.npy"))
    np.save(tmp_path / "few.npy", np.zeros((5, 3), int))
    with pytest.raises(InputError, match=r"few\.npy has 5 triangles"):
        read_predictions(file, Beside(mapping=beside.mapping, triangles=tmp_path / "few.npy"))
    assert mhr_vertices(predicted.vertices[:1]).shape == (1, 18439, 3)


def test_what_does_not_fit_the_samples(write, predicted, bind):
    order = np.random.default_rng(1).permutation(len(predicted))
    other = predicted.betas[:, ::-1] * 3
    down = meshes(predicted, [1, -1, -1])
    for changed, message in (
        (meshes(predicted, 1000), r"'vertices' row \d+ is \d+ m across.*looks like mm: divide by 1000"),
        (meshes(predicted, 0.2), r"'vertices' row 0 is .* m across"),
        (down, "heads are down.*--turn x180"),
        (meshes(predicted, [-1, 1, 1]), "mirrored: left and right are swapped"),
        ({"vertices": predicted.vertices, "betas": other}, "pose and betas are of another body model"),
        ({"body": "0" * 64}, "was made with the body model 000000000000"),
        (meshes(predicted) | {"vertices": predicted.vertices[:, ::-1]}, "order of another mesh"),
        ({"image_name": None, "pose": predicted.pose[order]}, r"rows in an order of their own.*--names"),
        ({"image_name": None, "pose": predicted.pose[1:], "betas": predicted.betas[1:], "box": None},
         r"has 39 rows without names, pw3d has 40 samples.*--names FILE"),
        ({"box": None}, r"row 0 .*has 2 samples and 2 predictions.*`person`.*`box`"),
        ({"image_name": np.array([f"x/{i}.jpg" for i in range(40)])}, "no prediction is of an image of pw3d"),
        ({k: v[:30] for k, v in (("image_name", predicted.names), ("box", predicted.boxes),
                                 ("pose", predicted.pose), ("betas", predicted.betas))},
         r"10 of 40 samples of pw3d have no prediction.*--allow-missing"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            bind(read_predictions(write(**changed)), predicted.samples)


def test_a_row_that_is_not_finite_is_named_when_it_is_read(write, predicted, bind):
    vertices = predicted.vertices.copy()
    vertices[33, 5] = np.inf
    predictions = read_predictions(write(**meshes(predicted) | {"vertices": vertices}))
    with pytest.raises(InputError, match=r"'vertices' row 33 is NaN or infinite"):
        bind(predictions, predicted.samples).errors()


def test_what_is_left_out_is_counted(write, predicted, bind, capsys):
    few = slice(0, 30)
    kept = {"image_name": predicted.names, "box": predicted.boxes, "pose": predicted.pose}
    kept = {key: values[few] for key, values in (kept | {"betas": predicted.betas}).items()}
    scored = bind(read_predictions(write(**kept)), predicted.samples, allow_missing=True)
    assert scored.errors()["sample"].tolist() == list(range(30))
    assert "10 of 40 samples of pw3d have no prediction" in capsys.readouterr().err
    pair = predicted.samples.select(torch.arange(10))
    bind(read_predictions(write()), pair)
    assert "30 of 40 predictions are of images that are no samples" not in capsys.readouterr().err


def test_an_order_can_be_trusted_and_a_constant_has_none(write, predicted, bind, capsys):
    order = np.random.default_rng(1).permutation(len(predicted))
    shuffled = write(image_name=None, pose=predicted.pose[order])
    bind(read_predictions(shuffled), predicted.samples, trust_order=True)
    assert "WARNING" in capsys.readouterr().err
    constant = write(
        image_name=None, pose=predicted.pose[:1].repeat(40, 0), betas=np.zeros((40, 10))
    )
    bind(read_predictions(constant), predicted.samples)
    assert "all predictions are alike" in capsys.readouterr().err


def test_a_protocol_that_lacks_something_is_named(write, predicted, bind, tmp_path, capsys):
    j14 = predicted.h36m[:, H36M_TO_J17[:14]]
    joints = write(pose=None, betas=None, joints=j14, joint_set="j14")
    with pytest.raises(InputError, match="joints j14, but the protocol aligns at h36m_pelvis"):
        bind(read_predictions(joints), predicted.samples, "spin_3dpw")
    with pytest.raises(InputError, match="joints j14, but the protocol measures smpl24"):
        bind(read_predictions(joints), predicted.samples, "emdb")
    wrong = write(pose=None, betas=None, joints=predicted.h36m[:, :14], joint_set="j14")
    bind(read_predictions(wrong), predicted.samples, "vibe")
    assert "no nearer to the truth than to that of other samples" in capsys.readouterr().err
    (tmp_path / "x.json").write_text(
        json.dumps({"keypoints": [1], "poses": [[1], [1, 2]], "betas": []})
    )
    with pytest.raises(InputError, match="'poses' is not numbers"):
        read_predictions(tmp_path / "x.json")
