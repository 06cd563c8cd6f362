"""UP-3D: fits as they are, boxes of the rendered fit, both test sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts_others import (
    BROKEN_UP3D,
    LSP_NUMBERS,
    box,
    people,
    spin_columns,
    with_confidence,
    write_up3d,
)
from people import open_body, overlap

from pmnet import datasets
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import up3d


def read(root: Path, listed: str | None = "trainval.txt", **changed: Any) -> Samples:
    options = {"layout": "folder", "list": listed, "images": str(root / "up-3d")} | changed
    source = root / ("up-3d" if options["layout"] == "folder" else "up_3d_test.npz")
    entry = datasets.Dataset("up3d", "test", source, options)
    return datasets.read("up3d", entry, open_body(), "datasets.up3d")


def test_the_mesh_lies_over_the_person(tmp_path):
    write_up3d(tmp_path, people())
    samples = read(tmp_path)
    assert overlap(samples, people(), range(4)).min() >= 0.9
    poses = np.concatenate([samples.global_orient, samples.body_pose], 1)
    np.testing.assert_allclose(poses, people().poses[:4], atol=1e-6)
    np.testing.assert_allclose(samples.betas, people().betas[:4], atol=1e-6)
    assert samples.image_name == [f"{number:05d}_image.png" for number in LSP_NUMBERS[:4]]
    assert all((tmp_path / "up-3d" / name).is_file() for name in samples.image_name)
    assert samples.about.measured == "j14"


def test_the_box_is_that_of_the_rendered_fit(tmp_path):
    write_up3d(tmp_path, people())
    samples = read(tmp_path)
    y, x = np.nonzero(people().masks[2].numpy())
    corners = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    np.testing.assert_allclose(samples.center[2], (corners[:2] + corners[2:]) / 2)
    np.testing.assert_allclose(
        samples.scale[2], (corners[2:] - corners[:2]).max() * 1.2 / 200, rtol=1e-6
    )
    assert samples.about.counts == {"rows": 4, up3d.BY_RENDER: 4, up3d.BY_JOINTS: 0}


def test_without_the_render_the_joints_make_the_box(tmp_path):
    write_up3d(tmp_path, people())
    (tmp_path / "up-3d" / "00047_render_light.png").unlink()
    samples = read(tmp_path)
    assert samples.about.counts == {"rows": 4, up3d.BY_RENDER: 3, up3d.BY_JOINTS: 1}
    assert np.abs(samples.center[1].numpy() - box(people())[0][1]).max() < 30


def test_joints_are_those_of_lsp(tmp_path):
    write_up3d(tmp_path, people())
    keypoints = read(tmp_path).keypoints_2d
    np.testing.assert_allclose(keypoints[:, :14, :2], people().keypoints_px[:4, :14], atol=1e-3)
    assert (keypoints[:, :14, 2] == 1).all()
    assert not keypoints[:, J24.index("pelvis")].any()


def test_the_two_test_sets(tmp_path):
    write_up3d(tmp_path, people())
    assert len(read(tmp_path, "test.txt")) == 2
    assert len(read(tmp_path, "../namesUPlsp.txt")) == 4
    with pytest.raises(InputError, match=r"needs options\.list"):
        read(tmp_path, None)


def test_the_npz_of_spins_relatives(tmp_path):
    names = [f"{number:05d}_image.png" for number in LSP_NUMBERS]
    part = with_confidence(people().keypoints_px)
    np.savez(tmp_path / "up_3d_test.npz", imgname=names, part=part, **spin_columns(people()))
    samples = read(tmp_path, None, layout="spin")
    assert overlap(samples, people(), range(6)).min() >= 0.9
    (found,) = up3d.find(tmp_path)
    assert found.options["layout"] == "spin" and found.split == "test"


def test_all_lists_are_found(tmp_path):
    write_up3d(tmp_path, people())
    found = {entry.options["list"]: entry for entry in up3d.find(tmp_path)}
    assert list(found) == ["trainval.txt", "test.txt", str(tmp_path / "namesUPlsp.txt")]
    assert [entry.split for entry in found.values()] == ["train", "test", "test"]
    assert [entry.published for entry in found.values()] == [None, None, 639]
    for entry in found.values():
        options = datasets.Dataset("up3d", entry.split, entry.source, entry.options)
        assert len(datasets.read("up3d", options, open_body(), "found")) > 0


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in BROKEN_UP3D],
                         ids=[case[0] for case in BROKEN_UP3D])  # fmt: skip
def test_broken_files_are_named(tmp_path, monkeypatch, damage, message):
    monkeypatch.chdir(tmp_path)
    write_up3d(tmp_path, people())
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    assert not (tmp_path / "hostile_pickle_ran").exists()
    up3d.find(tmp_path)
