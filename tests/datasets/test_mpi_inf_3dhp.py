"""MPI-INF-3DHP: joints of all layouts are the people's, fits lie over them; what is wrong is refused."""

import json
from dataclasses import replace
from pathlib import Path

import layouts_studio as studio
import numpy as np
import pytest
import torch
from layouts_studio import LAYOUTS, rows_of
from people import draw_people, overlap

from pmnet.core.errors import InputError
from pmnet.datasets import mpi_inf_3dhp
from pmnet.datasets.mpi_inf_3dhp.raw import list_images

N = 7
NAMES = [name for name in LAYOUTS if name.startswith("mpi")]


@pytest.mark.parametrize("name", NAMES)
def test_joints_are_those_of_the_people(body, tmp_path, name):
    people, layout = draw_people(N), LAYOUTS[name]
    written = layout.write(tmp_path, people)
    samples = layout.read(tmp_path, body)
    rows = rows_of(samples, written)
    assert sorted(rows) == list(range(N))
    for values, pixels in ((samples.keypoints_2d, True), (samples.keypoints_3d, False)):
        expected = torch.from_numpy(studio.annotated(people, pixels)[rows]).float()
        torch.testing.assert_close(values, expected, atol=1e-3 if pixels else 1e-5, rtol=0)
    # most of these layouts have no bodies: those of the people, seen in the sample's box
    poses, betas = (torch.from_numpy(v[rows]).float() for v in (people.poses, people.betas))
    dressed = replace(samples, global_orient=poses[:, :3], body_pose=poses[:, 3:], betas=betas)
    assert overlap(dressed, people, rows).min() > 0.9
    inside = samples.keypoints_in_crop()[samples.keypoints_2d[..., 2] > 0]
    assert inside.abs().max() < 1.01
    assert samples.about.measured == "j17"
    assert all((tmp_path / layout.images / image).is_file() for image in samples.image_name)


def test_bodies_lie_over_the_people(body, tmp_path):
    people, layout = draw_people(N), LAYOUTS["mpi train npz"]
    written = layout.write(tmp_path, people)
    samples = layout.read(tmp_path, body)
    assert samples.has_smpl.all()
    assert overlap(samples, people, rows_of(samples, written)).min() > 0.9
    counts = samples.about.counts
    assert counts["fits of own fits"] == 4
    assert counts["fits of spin_fits/mpi_inf_3dhp.npz"] == 2  # rows 1 and 5
    assert counts["fits of static_fits/mpi-inf-3dhp_mview_fits.npz"] == 0
    assert counts["fits of static_fits/mpi-inf-3dhp_fits.npy"] == 1
    assert samples.body_pose.float().allclose(torch.from_numpy(people.poses[:, 3:]).float())


def test_without_fits_the_rows_of_the_npz_are_taken(body, tmp_path):
    layout = LAYOUTS["mpi train npz"]
    layout.write(tmp_path, draw_people(N))
    samples = layout.read(tmp_path, body, fits=None)
    assert samples.has_smpl.tolist() == [row % 2 == 0 for row in range(N)]


def test_a_sequence_is_what_all_cameras_saw(body, tmp_path):
    for name in ("mpi train npz", "mpi raw train"):
        LAYOUTS[name].write(tmp_path / name, draw_people(N))
        samples = LAYOUTS[name].read(tmp_path / name, body)
        assert set(samples.sequence) == {"S1/Seq1", "S1/Seq2", "S2/Seq1", "S2/Seq2"}
        assert set(samples.subject) == {"S1", "S2"}
    LAYOUTS["mpi raw test"].write(tmp_path / "test", draw_people(N))
    samples = LAYOUTS["mpi raw test"].read(tmp_path / "test", body)
    assert samples.sequence == samples.subject == ["TS1"] * 4 + ["TS5"] * 3


# --- the annotations of the authors


def test_an_image_is_matched_by_its_number(body, tmp_path):
    people, layout = draw_people(N), LAYOUTS["mpi raw train"]
    layout.write(tmp_path, people)
    # the second frame that is kept, without zeros, sorts before the first; more images around it
    clip = tmp_path / "S1/Seq1/imageFrames"
    (found,) = [path for path in clip.rglob("*.jpg") if path.stem == "frame_000011"]
    for number in (2, 9, 10, 21, 30):
        people.write(0, found.with_name(f"frame_{number}.jpg"))
    found.rename(found.with_name("frame_11.jpg"))
    name = found.with_name("frame_11.jpg").relative_to(tmp_path).as_posix()
    samples = layout.read(tmp_path, body)
    row = samples.image_name.index(name)
    expected = torch.from_numpy(studio.annotated(people, pixels=True)[1]).float()
    torch.testing.assert_close(samples.keypoints_2d[row], expected, atol=1e-3, rtol=0)
    assert samples.about.counts["images beyond the annotations"] == 1
    assert len(samples) == N + 1  # and frame 21


def test_without_images_all_frames_are_named(body, tmp_path):
    layout = LAYOUTS["mpi raw train"]
    written = layout.write(tmp_path, draw_people(N))
    samples = layout.read(tmp_path, body, images=str(tmp_path / "elsewhere"))
    assert len(samples) == 4 * 8 * 3
    assert set(written) <= set(samples.image_name)
    assert samples.about.counts["dropped: not every 10th frame"] == 4 * 8 * 22


def test_a_joint_outside_of_the_image_drops_the_row(body, tmp_path):
    layout = LAYOUTS["mpi raw test"]
    layout.write(tmp_path, draw_people(N))
    path = tmp_path / "mpi_inf_3dhp_test_set/TS5/annot_data.mat"

    def leave(file):
        px = file["annot2"][...]
        px[1, 0, 4] = (100.0, 1500.0)  # inside of 2048 x 2048, outside of TS5's 1920 x 1080
        file["annot2"][...] = px

    studio.edit_h5(path, leave)
    samples = layout.read(tmp_path, body)
    assert len(samples) == N - 1
    assert samples.about.counts["dropped: a joint outside of the image"] == 1
    assert samples.about.counts["dropped: frame not valid"] == N


def test_universal_skeletons_are_of_another_size(body, tmp_path):
    for name in ("mpi raw train", "mpi raw test"):
        layout = LAYOUTS[name]
        layout.write(tmp_path / name, draw_people(N))
        own = layout.read(tmp_path / name, body).keypoints_3d[..., :3]
        universal = layout.read(tmp_path / name, body, annotation="univ_annot3")
        expected = own * studio.UNIV
        torch.testing.assert_close(universal.keypoints_3d[..., :3], expected, atol=1e-4, rtol=0)


def test_two_images_of_one_number_are_refused(tmp_path):
    for name in ("frame_1.jpg", "frame_000001.jpg", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(
        InputError, match=r"frame_000001\.jpg and frame_1\.jpg have the same number"
    ):
        list_images(tmp_path)


# --- what is refused


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("mpi train npz", {"file": None}, r"data is a folder; set options\.file"),
        ("mpi train npz", {"file": "none.npz"}, r"none\.npz: not a readable \.npz"),
        ("mpi raw test", {"annotation": None}, r"layout raw_test needs options\.annotation"),
        ("mpi raw train", {"every": 0}, r"options\.every: expected at least 1"),
        ("mpi raw train", {"fits": studio.SPIN_FITS}, r"set options\.fits to null"),
        ("mpi raw test", {"layout": "raw_train"}, r"test_set: no S\*/Seq\*/annot\.mat below it"),
        ("mpi raw train", {"layout": "raw_test"}, r"no TS1/annot_data\.mat in it"),
    ],
)
def test_wrong_options_are_refused(body, tmp_path, name, changed, message):
    layout = LAYOUTS[name]
    layout.write(tmp_path, draw_people(N))
    with pytest.raises(InputError, match=message):
        layout.read(tmp_path, body, **changed)


# --- what is found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_can_be_read(body, tmp_path, name):
    people, layout = draw_people(N), LAYOUTS[name]
    written = layout.write(tmp_path, people)
    (found,) = mpi_inf_3dhp.find(tmp_path)
    entry = studio.Dataset(
        found.adapter, found.split, found.source, json.loads(json.dumps(found.options))
    )
    samples = studio.datasets.read("toy", entry, body, "params.yaml")
    assert sorted(rows_of(samples, written)) == list(range(N))
    assert all((Path(samples.about.root) / image).is_file() for image in samples.image_name)
    assert found.split == ("test" if "test" in name else "train")
    assert found.published == {"mpi raw train": None, "mpi train npz": 96_507}.get(name, 2_929)
    if name == "mpi train npz":
        assert samples.has_smpl.all()


def test_nothing_is_found_in_broken_or_other_files(tmp_path):
    (tmp_path / "mpi_inf_3dhp_train.npz").write_bytes(b"no npz")
    np.savez(tmp_path / "mpi_inf_3dhp.npz", pose=np.zeros((1, 72)))
    (tmp_path / "annot.mat").write_bytes(b"")
    assert mpi_inf_3dhp.find(tmp_path) == []
    assert mpi_inf_3dhp.find(tmp_path / "nowhere") == []
