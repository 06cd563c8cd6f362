"""BEDLAM: one file a scene, poses of SMPL or SMPL-X."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts_others import BROKEN_BEDLAM, SCENE, N, people, write_bedlam
from people import open_body, overlap

from pmnet import datasets
from pmnet.body.keypoints import J24, LIMBS
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import bedlam


def read(root: Path, file: str = "all_npz_12_training", **changed: Any) -> Samples:
    images = str(root / "training_images")
    options = {"images": images, "folder": "{file}/png", "betas": "file"} | changed
    entry = datasets.Dataset("bedlam", "train", root / file, options)
    return datasets.read("bedlam", entry, open_body(), "datasets.bedlam")


def test_the_mesh_lies_over_the_person(tmp_path):
    write_bedlam(tmp_path, people())
    samples = read(tmp_path)
    assert overlap(samples, people(), range(N)).min() >= 0.9
    poses = np.concatenate([samples.global_orient, samples.body_pose], 1)
    np.testing.assert_allclose(poses, people().poses, atol=1e-6)
    np.testing.assert_allclose(samples.betas, people().betas, atol=1e-6)
    assert all((tmp_path / "training_images" / name).is_file() for name in samples.image_name)
    assert samples.sequence[4] == "20221013_static_gym_6fps/seq_000004"
    assert samples.subject[4] == "rp_4" and samples.gender == ["neutral"] * 6


def test_one_scene_alone(tmp_path):
    write_bedlam(tmp_path, people())
    samples = read(tmp_path, SCENE)
    assert len(samples) == 3 and overlap(samples, people(), [3, 4, 5]).min() >= 0.9


def test_limbs_are_those_of_the_skeleton(tmp_path):
    write_bedlam(tmp_path, people())
    keypoints = read(tmp_path).keypoints_2d
    assert (keypoints[:, :12, 2] == 1).all() and not keypoints[:, 12:].any()
    wrist = J24.index("left_wrist")
    apart = np.abs(keypoints[:, wrist, :2].numpy() - people().keypoints_px[:, wrist])
    assert apart.max() < 2 and J24[:12] == LIMBS


def test_joints_of_another_order_are_left_out(tmp_path):
    # the releases of CameraHMR begin with OpenPose's
    write_bedlam(tmp_path, people(), gtkps=people().keypoints_px[3:][:, ::-1])
    samples = read(tmp_path, SCENE)
    assert not samples.keypoints_2d.any()
    assert samples.about.counts[bedlam.MISSED] == 3


def test_poses_of_smpl_x_and_of_three_axes(tmp_path):
    write_bedlam(tmp_path, people(), width=165)
    samples = read(tmp_path)
    assert overlap(samples, people(), range(N)).min() >= 0.9
    assert not samples.body_pose[:, 63:].any()
    assert samples.about.counts[bedlam.SMPLX_BETAS] == N
    mean = read(tmp_path, betas="zero")
    assert not mean.betas.any() and mean.about.counts[bedlam.SMPLX_BETAS] == 0
    write_bedlam(tmp_path, people(), pose_cam=people().poses[3:].reshape(3, 24, 3))
    assert overlap(read(tmp_path, SCENE), people(), [3, 4, 5]).min() >= 0.9


def test_keys_that_only_some_scenes_have(tmp_path):
    write_bedlam(tmp_path, people())
    with np.load(tmp_path / SCENE) as archive:
        kept = {key: archive[key] for key in archive.files if key not in ("sub", "gtkps")}
    np.savez(tmp_path / SCENE, **kept)
    samples = read(tmp_path)
    assert samples.subject == ["rp_0", "rp_1", "rp_2", "", "", ""]
    assert samples.keypoints_2d[:3].any() and not samples.keypoints_2d[3:].any()


def test_the_folder_is_found(tmp_path):
    write_bedlam(tmp_path, people())
    (found,) = bedlam.find(tmp_path)
    assert found.source == tmp_path / "all_npz_12_training"
    assert found.options["folder"] == "{file}/png"
    assert found.options["images"] == str(tmp_path / "training_images")
    entry = datasets.Dataset("bedlam", found.split, found.source, found.options)
    assert len(datasets.read("bedlam", entry, open_body(), "found")) == N


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in BROKEN_BEDLAM],
                         ids=[case[0] for case in BROKEN_BEDLAM])  # fmt: skip
def test_broken_files_are_named(tmp_path, damage, message):
    write_bedlam(tmp_path, people())
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    bedlam.find(tmp_path)
