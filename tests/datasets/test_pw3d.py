"""3DPW: the sequence files are brought from the world before the camera, frame by frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from layouts_others import (
    BROKEN_PW3D,
    BROKEN_PW3D_SPIN,
    actors,
    people,
    write_pw3d,
    write_pw3d_spin,
)
from people import open_body, overlap

from pmnet import datasets
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import pw3d

# three samples of each: courtyard_hug has two people, downtown_walk one
SHOWN = [person for sequence in sorted(actors()) for person in actors()[sequence]]


def read(root: Path, layout: str = "sequences") -> Samples:
    source = root / ("sequenceFiles/test" if layout == "sequences" else "3dpw_test.npz")
    entry = datasets.Dataset("pw3d", "test", source, {"layout": layout, "images": str(root)})
    return datasets.read("pw3d", entry, open_body(), "datasets.pw3d")


def of_all(column: str) -> np.ndarray:
    return np.concatenate([getattr(person, column) for person in SHOWN])


def test_the_mesh_lies_over_the_person(tmp_path):
    write_pw3d(tmp_path)
    samples = read(tmp_path)
    for person, rows in zip(SHOWN, torch.arange(9).split(3), strict=True):
        assert overlap(samples.select(rows), person, range(3)).min() >= 0.9
    poses = np.concatenate([samples.global_orient, samples.body_pose], 1)
    np.testing.assert_allclose(poses[:, 3:], of_all("poses")[:, 3:], atol=1e-5)
    roots = torch.cat([person.params.rotmats[:, 0] for person in SHOWN])
    np.testing.assert_allclose(samples.body_params().rotmats[:, 0], roots, atol=1e-5)
    np.testing.assert_allclose(samples.betas, of_all("betas"), atol=1e-6)


def test_frames_without_camera_or_joints_are_counted(tmp_path):
    write_pw3d(tmp_path)
    counts = read(tmp_path).about.counts
    assert counts == {"rows": 9, pw3d.NO_CAMERA: 3, pw3d.NO_JOINT: 3}


def test_images_are_numbered_by_the_frame(tmp_path):
    write_pw3d(tmp_path)
    samples = read(tmp_path)
    assert samples.image_name[6:] == [
        f"imageFiles/downtown_walk_00/image_0000{frame}.jpg" for frame in (0, 2, 3)
    ]
    assert all((tmp_path / name).is_file() for name in samples.image_name)
    assert samples.about.root == str(tmp_path) and samples.about.measured == "j14"


def test_people_sequences_and_genders(tmp_path):
    write_pw3d(tmp_path)
    samples = read(tmp_path)
    hug, walk = "courtyard_hug_00", "downtown_walk_00"
    assert samples.subject == [f"{hug}/0"] * 3 + [f"{hug}/1"] * 3 + [f"{walk}/0"] * 3
    assert samples.sequence == [hug] * 6 + [walk] * 3
    assert samples.gender == ["female"] * 3 + ["male"] * 6


def test_2d_joints_are_those_of_openpose(tmp_path):
    write_pw3d(tmp_path)
    keypoints = read(tmp_path).keypoints_2d
    wrist, pelvis = J24.index("left_wrist"), J24.index("pelvis")
    np.testing.assert_allclose(keypoints[:, wrist, :2], of_all("keypoints_px")[:, wrist], atol=1e-3)
    assert (keypoints[:, wrist, 2] == np.float32(0.8)).all() and not keypoints[:, pelvis].any()


def test_the_npz_of_spin(tmp_path):
    write_pw3d_spin(tmp_path, people())
    samples = read(tmp_path, "spin")
    assert overlap(samples, people(), range(6)).min() >= 0.9
    assert samples.gender == ["male", "female"] * 3
    assert samples.sequence == ["walk_00"] * 3 + ["walk_01"] * 3


def test_both_layouts_are_found(tmp_path):
    write_pw3d(tmp_path / "3DPW")
    write_pw3d_spin(tmp_path / "extras", people())
    found = {entry.options["layout"]: entry for entry in pw3d.find(tmp_path)}
    assert found["sequences"].source == tmp_path / "3DPW" / "sequenceFiles" / "test"
    assert found["sequences"].options["images"] == str(tmp_path / "3DPW")
    assert found["spin"].options["images"] == str(tmp_path / "extras")
    assert {entry.split for entry in found.values()} == {"test"}
    assert found["spin"].published == 35_515
    for entry in found.values():
        options = datasets.Dataset("pw3d", entry.split, entry.source, entry.options)
        assert len(datasets.read("pw3d", options, open_body(), "found")) > 0


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in BROKEN_PW3D],
                         ids=[case[0] for case in BROKEN_PW3D])  # fmt: skip
def test_broken_sequence_files_are_named(tmp_path, monkeypatch, damage, message):
    monkeypatch.chdir(tmp_path)
    write_pw3d(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    assert not (tmp_path / "hostile_pickle_ran").exists()
    pw3d.find(tmp_path)


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in BROKEN_PW3D_SPIN],
                         ids=[case[0] for case in BROKEN_PW3D_SPIN])  # fmt: skip
def test_a_broken_npz_is_named(tmp_path, damage, message):
    write_pw3d_spin(tmp_path, people())
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        read(tmp_path, "spin")
    pw3d.find(tmp_path)
