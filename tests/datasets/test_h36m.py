"""Human3.6M: bodies lie over the people in all layouts, MoSh by name; what is wrong is refused."""

import json
from pathlib import Path

import layouts_studio as studio
import numpy as np
import pytest
import torch
from layouts_studio import LAYOUTS, rows_of
from people import draw_people, overlap

from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.datasets import h36m
from pmnet.datasets.h36m.annotation_json import H36M17

N = 7
NAMES = [name for name in LAYOUTS if name.startswith("h36m")]
USED = [J24.index(joint) for joint in H36M17]


@pytest.mark.parametrize("name", NAMES)
def test_bodies_lie_over_the_people(body, tmp_path, name):
    people, layout = draw_people(N), LAYOUTS[name]
    written = layout.write(tmp_path, people)
    samples = layout.read(tmp_path, body)
    rows = rows_of(samples, written)
    assert sorted(rows) == list(range(N)) and samples.has_smpl.all()
    assert overlap(samples, people, rows).min() > 0.9
    truth = people.params.rotmats[rows]
    torch.testing.assert_close(samples.body_params().rotmats, truth, atol=1e-4, rtol=0)
    betas = torch.from_numpy(people.betas[rows]).float()
    torch.testing.assert_close(samples.betas, betas, atol=1e-5, rtol=0)
    expected = torch.from_numpy(studio.annotated(people, pixels=False)[rows]).float()
    torch.testing.assert_close(samples.keypoints_3d, expected, atol=1e-4, rtol=0)
    assert samples.about.measured == "j14" and samples.about.root == str(tmp_path / layout.images)
    assert all((tmp_path / layout.images / image).is_file() for image in samples.image_name)


def test_neuralannot_is_projected_by_its_cameras(body, tmp_path):
    people, layout = draw_people(N), LAYOUTS["h36m neuralannot"]
    written = layout.write(tmp_path, people)
    samples = layout.read(tmp_path, body)
    expected = torch.from_numpy(people.keypoints_px[rows_of(samples, written)]).float()
    apart = (samples.keypoints_2d[:, USED, :2] - expected[:, USED]).abs()
    assert apart.max() < 0.2  # a camera at 2 km is nearly one of weak perspective
    assert samples.gender == ["neutral"] * N
    assert samples.subject == ["S1"] * 4 + ["S9"] * 3
    assert set(samples.sequence) == {"S1_act_02_subact_01", "S9_act_02_subact_01"}


def test_a_sequence_is_what_all_cameras_saw(body, tmp_path):
    layout = LAYOUTS["h36m p2"]
    layout.write(tmp_path, draw_people(N))
    samples = layout.read(tmp_path, body)
    assert samples.subject[:2] == ["S9", "S11"]
    assert samples.sequence[:3] == ["S9_Directions_1", "S11_Directions_1", "S9_Walking"]
    assert samples.gender == ["neutral"] * N


def test_mosh_is_joined_by_name_in_any_order(body, tmp_path):
    people, layout = draw_people(N), LAYOUTS["h36m p2"]
    written = layout.write(tmp_path, people)
    path = tmp_path / studio.P2_NPZ
    with np.load(path) as archive:
        values = {key: archive[key][::-1] for key in archive.files}
    np.savez(path, **values)
    samples = layout.read(tmp_path, body)
    assert rows_of(samples, written) == list(range(N))[::-1]
    assert overlap(samples, people, rows_of(samples, written)).min() > 0.9


def test_rows_without_mosh_are_counted_and_marked(body, tmp_path):
    layout = LAYOUTS["h36m p2"]
    written = layout.write(tmp_path, draw_people(N))
    (tmp_path / studio.CLIP).unlink()
    short = next((tmp_path / "data").rglob("S11/Walking_cam*_aligned.pkl"))
    studio.edit_pickle(short, lambda v: v.update(new_poses=v["new_poses"][:1]))
    samples = layout.read(tmp_path, body)
    counts = samples.about.counts
    assert counts["without MoSh: no file"] >= 1
    assert counts["without MoSh: frame beyond the end"] >= 1
    assert counts["with MoSh"] == int(samples.has_smpl.sum()) < N
    assert not samples.body_pose[~samples.has_smpl].any()
    with_body = samples.select(samples.has_smpl.nonzero()[:, 0])
    assert overlap(with_body, draw_people(N), rows_of(with_body, written)).min() > 0.9


def test_without_mosh_protocol_2_has_no_bodies(body, tmp_path):
    layout = LAYOUTS["h36m p2"]
    layout.write(tmp_path, draw_people(N))
    samples = layout.read(tmp_path, body, mosh=None)
    assert not samples.has_smpl.any() and samples.has_keypoints_3d.all()


@pytest.mark.parametrize("name", NAMES)
def test_subjects_cameras_and_frames_are_chosen(body, tmp_path, name):
    layout = LAYOUTS[name]
    layout.write(tmp_path, draw_people(N))
    everyone = layout.read(tmp_path, body)
    one = everyone.subject[0]
    some = layout.read(tmp_path, body, subjects=[one])
    assert some.image_name == [
        image
        for image, who in zip(everyone.image_name, everyone.subject, strict=True)
        if who == one
    ]
    frontal = layout.read(tmp_path, body, cameras=["60457274"])
    assert 0 < len(frontal) < N
    assert all(".60457274_" in image or "_ca_04_" in image for image in frontal.image_name)
    assert frontal.about.counts["dropped: another camera"] == N - len(frontal)
    thin = layout.read(tmp_path, body, every=10)
    frames = [int(Path(image).stem.rsplit("_", 1)[1]) for image in everyone.image_name]
    assert len(thin) == sum((frame - 1) % 10 == 0 for frame in frames)
    assert thin.about.counts["dropped: not every 10th frame"] == N - len(thin)


def test_fits_of_neuralannot_that_are_far_off_are_not_taken(body, tmp_path):
    layout = LAYOUTS["h36m neuralannot"]
    layout.write(tmp_path, draw_people(N))
    path = tmp_path / studio.JSON.format("SMPL_NeuralAnnot")
    studio.edit_json(path, lambda v: studio.first_frame(v).update(pose=[0.0] * 72))
    studio.edit_json(path, lambda v: v["2"]["1"].pop("5"))
    samples = layout.read(tmp_path, body, max_fit_error_mm=25.0)
    assert samples.has_smpl.tolist() == [False, False] + [True] * (N - 2)
    assert samples.has_keypoints_3d.all()
    counts = samples.about.counts
    assert counts["rejected: fit error > 25 mm"] == 1
    assert counts["without SMPL: no fit of the frame"] == 1


def test_the_other_name_of_the_fits_is_known(body, tmp_path):
    layout = LAYOUTS["h36m neuralannot"]
    layout.write(tmp_path, draw_people(N))
    path = tmp_path / studio.JSON.format("SMPL_NeuralAnnot")
    path.rename(tmp_path / studio.JSON.format("smpl_param"))
    assert layout.read(tmp_path, body).has_smpl.all()


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("h36m p2", {"file": None}, r"data is a folder; set options\.file"),
        ("h36m p2", {"mosh": "nowhere"}, r"nowhere: no S1/NAME_cam0_aligned\.pkl below it"),
        ("h36m p2", {"subjects": ["S3"]}, r"no image of subject S3; found are S11, S9"),
        ("h36m p2", {"cameras": ["3"]}, r"no image of camera 3; found are 54138969"),
        ("h36m p2", {"every": 0}, r"options\.every: expected at least 1"),
        ("h36m neuralannot", {"subjects": ["S3"]}, r"_data\.json of S3; found are S1, S9"),
        ("h36m neuralannot", {"cameras": ["3"]}, r"options\.cameras: 3 is not one of 54138969"),
        ("h36m neuralannot", {"mosh": "mosh"}, r"set options\.mosh and options\.file to nu"),
    ],
)
def test_wrong_options_are_refused(body, tmp_path, name, changed, message):
    layout = LAYOUTS[name]
    layout.write(tmp_path, draw_people(N))
    with pytest.raises(InputError, match=message):
        layout.read(tmp_path, body, **changed)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_can_be_read(body, tmp_path, name):
    people, layout = draw_people(N), LAYOUTS[name]
    written = layout.write(tmp_path, people)
    rows = []
    for found in h36m.find(tmp_path):
        entry = json.loads(json.dumps(found.options))
        samples = studio.datasets.read(
            "toy",
            studio.Dataset(found.adapter, found.split, found.source, entry),
            body,
            "params.yaml",
        )
        assert samples.has_smpl.all() and found.published is None
        assert all((Path(samples.about.root) / image).is_file() for image in samples.image_name)
        rows += rows_of(samples, written)
        test = {"S9", "S11"} & set(samples.subject)
        assert found.split == ("test" if test else "train")
    # of the test subjects of NeuralAnnot, the frontal camera is suggested
    missing = set(range(N)) - set(rows)
    assert not missing or name == "h36m neuralannot"


def test_nothing_is_found_in_broken_or_other_files(tmp_path):
    (tmp_path / "h36m_train.npz").write_bytes(b"no npz")
    (tmp_path / "x_aligned.pkl").write_bytes(b"no pickle")
    (tmp_path / "3dpw_test.npz").write_bytes(b"no npz")
    assert h36m.find(tmp_path) == []
    assert h36m.find(tmp_path / "nowhere") == []
