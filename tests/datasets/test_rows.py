"""Rows of an adapter as Samples: what is missing is marked, what is invalid is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from people import draw_people, open_body, overlap

from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.units import box_around

N = 6
FILE = Path("toy.npz")


def rows(**changed) -> Rows:
    people = draw_people(N)
    seen = np.ones((N, 24, 1))
    center, scale = box_around(people.keypoints_px, seen[..., 0] > 0)
    columns = {
        "image_name": [f"{row}.jpg" for row in range(N)],
        "center": center,
        "scale": scale,
        "poses": people.poses,
        "betas": people.betas,
        "keypoints_2d": np.concatenate([people.keypoints_px, seen], 2),
        "keypoints_3d": np.concatenate([people.keypoints_m, seen], 2),
    }
    return Rows(**(columns | changed))


def ingest(table: Rows) -> Samples:
    return to_samples("toy", table, FILE, Path("images"), open_body())


@pytest.mark.parametrize("keypoints", [True, False])
def test_the_mesh_lies_over_the_person(keypoints):
    samples = ingest(rows() if keypoints else rows(keypoints_2d=None))
    assert overlap(samples, draw_people(N), range(N)).min() > 0.9


def test_another_person_does_not_overlap():
    order = [*range(1, N), 0]
    assert overlap(ingest(rows()), draw_people(N), order).max() < 0.9


def test_what_a_file_does_not_have_is_marked():
    samples = ingest(rows(poses=None, betas=None, keypoints_3d=None, keypoints_2d=None))
    assert not samples.has_smpl.any() and not samples.has_keypoints_3d.any()
    assert not samples.keypoints_2d.any() and samples.gender == [""] * N
    assert samples.sequence == samples.image_name
    assert samples.camera.isnan().all()


def test_invalid_rows_are_zero_whatever_they_hold():
    poses = draw_people(N).poses.copy()
    poses[2] = np.nan
    valid = np.arange(N) != 2
    samples = ingest(rows(poses=poses, has_smpl=valid))
    assert samples.has_smpl.tolist() == valid.tolist()
    assert not samples.body_pose[2].any() and samples.body_pose[1].any()


def test_a_nan_that_is_said_to_be_valid_is_refused():
    poses = draw_people(N).poses.copy()
    poses[2, 5] = np.nan
    with pytest.raises(InputError, match=r"toy\.npz: 'poses' row 2 is NaN"):
        ingest(rows(poses=poses))


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"toy\.npz: rows differ in number: .*scale 5"):
        ingest(rows(scale=np.ones(N - 1)))


def test_3d_keypoints_are_relative_to_the_pelvis():
    samples = ingest(rows())
    assert samples.keypoints_3d[:, J24.index("pelvis"), :3].abs().max() == 0
    moved = rows()
    assert moved.keypoints_3d is not None
    moved.keypoints_3d[..., :3] += 5.0
    torch.testing.assert_close(ingest(moved).keypoints_3d, samples.keypoints_3d)


def test_selecting_rows_selects_all_columns():
    picked = rows().select(np.array([3, 1]))
    assert list(picked.image_name) == ["3.jpg", "1.jpg"]
    assert np.array_equal(picked.poses, draw_people(N).poses[[3, 1]])
    assert picked.gender is None
