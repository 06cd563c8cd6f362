"""The npz of ProHMR and HMR 2.0: scales in px, 25 + 19 joints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts_others import BROKEN_HMR2, Hostile, N, box, people, write_hmr2
from people import open_body, overlap

from pmnet import datasets
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import hmr2


def read(root: Path, **changed: Any) -> Samples:
    options = {"images": str(root / "coco"), "scale": "px", "measured": "j14"} | changed
    entry = datasets.Dataset("hmr2", "train", root / "coco_train.npz", options)
    return datasets.read("hmr2", entry, open_body(), "datasets.hmr2")


def test_the_mesh_lies_over_the_person(tmp_path):
    write_hmr2(tmp_path, people(), has_body_pose=None)
    samples = read(tmp_path)
    assert samples.has_smpl.all()
    assert overlap(samples, people(), range(N)).min() >= 0.9
    poses = np.concatenate([samples.global_orient, samples.body_pose], 1)
    np.testing.assert_allclose(poses, people().poses, atol=1e-6)
    assert all((tmp_path / "coco" / name).is_file() for name in samples.image_name)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_larger_side_in_px_is_the_box(tmp_path, axes):
    center, scale = box(people())
    given = {1: scale * 200, 2: np.stack([scale * 200, scale * 100], 1), 3: scale[:, None] * 200}
    write_hmr2(tmp_path, people(), scale=given[axes], center=center[:, None])
    samples = read(tmp_path)
    np.testing.assert_allclose(samples.scale, scale, rtol=1e-6)
    np.testing.assert_allclose(samples.center, center, rtol=1e-6)
    write_hmr2(tmp_path, people(), scale=scale)
    np.testing.assert_allclose(read(tmp_path, scale="200 px").scale, scale, rtol=1e-6)


def test_rows_without_a_fit_are_marked_and_counted(tmp_path):
    write_hmr2(tmp_path, people(), has_betas=np.array([0, 1, 1, 1, 1, 1]))
    samples = read(tmp_path)
    assert samples.has_smpl.tolist() == [False, True, True, True, True, False]
    assert samples.about.counts == {
        "rows": N,
        "without a fit": 1,
        "without a fit: pose but no betas": 1,
    }
    write_hmr2(tmp_path, people(), body_pose=None, betas=None)
    assert not read(tmp_path).has_smpl.any()


def test_body_25_fills_what_the_19_do_not_show(tmp_path):
    write_hmr2(tmp_path, people())
    keypoints = read(tmp_path).keypoints_2d
    seen = keypoints[..., 2] > 0
    unknown = [J24[joint] for joint in np.flatnonzero(~seen.all(0))]
    assert unknown == ["pelvis", "thorax", "spine", "jaw", "head"]
    np.testing.assert_allclose(keypoints[seen][:, :2], people().keypoints_px[seen], atol=1e-3)
    of_25 = np.isclose(keypoints[0, :, 2], 0.6)
    assert [J24[joint] for joint in np.flatnonzero(of_25)] == ["right_wrist", *J24[19:]]


def test_3d_joints_are_valid_where_any_is(tmp_path):
    write_hmr2(tmp_path, people())
    samples = read(tmp_path, measured="j17")
    assert samples.has_keypoints_3d.tolist() == [False] + [True] * (N - 1)
    wrist, pelvis = J24.index("right_wrist"), J24.index("pelvis")
    expected = people().keypoints_m[:, wrist] - people().keypoints_m[:, pelvis]
    np.testing.assert_allclose(samples.keypoints_3d[1:, wrist, :3], expected[1:], atol=1e-6)
    assert samples.about.measured == "j17"


def test_names_that_were_saved_as_objects(tmp_path):
    names = np.array([f"train2014/COCO_{row:012d}.jpg" for row in range(N)], dtype=object)
    write_hmr2(tmp_path, people(), imgname=names)
    assert read(tmp_path).image_name == names.tolist()
    (found,) = hmr2.find(tmp_path)
    assert found.options["images"] == str(tmp_path / "coco")
    write_hmr2(tmp_path, people(), imgname=np.array([b"a.jpg", "b.jpg", *names[:4]], object))
    assert read(tmp_path).image_name[:2] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([Hostile()] * N, "'imgname'.* asks for '.*system'"),
        ([{}] * N, "'imgname' row 0 is a dict; expected texts"),
        (["a.jpg", 3.0, *"abcd"], "'imgname' row 1 is a float; expected texts"),
    ],
)
def test_objects_that_are_no_texts_are_refused(tmp_path, monkeypatch, names, message):
    monkeypatch.chdir(tmp_path)
    write_hmr2(tmp_path, people(), imgname=np.array(names, dtype=object))
    with pytest.raises(InputError, match=rf"coco_train\.npz: {message}"):
        read(tmp_path)
    assert not (tmp_path / "hostile_pickle_ran").exists()
    hmr2.find(tmp_path)


def test_the_file_is_found(tmp_path):
    write_hmr2(tmp_path, people())
    (found,) = hmr2.find(tmp_path)
    assert found.options["images"] == str(tmp_path / "coco") and found.split == "train"
    entry = datasets.Dataset("hmr2", found.split, found.source, found.options)
    assert len(datasets.read("hmr2", entry, open_body(), "found")) == N


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in BROKEN_HMR2],
                         ids=[case[0] for case in BROKEN_HMR2])  # fmt: skip
def test_broken_files_are_named(tmp_path, damage, message):
    write_hmr2(tmp_path, people())
    damage(tmp_path)
    with pytest.raises(InputError, match=rf"coco_train\.npz.*({message})|{message}"):
        read(tmp_path)
    hmr2.find(tmp_path)
