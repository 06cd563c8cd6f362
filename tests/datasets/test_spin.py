"""SPIN's npz: which keys it may have, and what each becomes."""

from pathlib import Path

import numpy as np
import pytest
from layouts_wild import boxes, part
from people import draw_people, open_body, overlap

from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import to_samples
from pmnet.datasets._shared.spin import read_spin
from pmnet.datasets._shared.units import genders, in_metres

N = 6
PEOPLE = draw_people(N)


def write(path: Path, **changed) -> Path:
    """Write an npz with all keys that SPIN knows, but for those given as None."""
    center, scale = boxes(PEOPLE)
    ones = np.ones((N, 24, 1))
    arrays = {
        "imgname": [f"train/{row}.jpg" for row in range(N)],
        "center": center,
        "scale": scale,
        "part": part("coco", PEOPLE),
        "openpose": np.full((N, 25, 3), np.nan),
        "S": np.concatenate([PEOPLE.keypoints_m, ones], 2),
        "pose": PEOPLE.poses,
        "shape": PEOPLE.betas,
        "has_smpl": np.ones(N),
        "gender": list("mfmfmf"),
    } | changed
    np.savez(path, **{key: values for key, values in arrays.items() if values is not None})
    return path


def ingest(path: Path):
    return to_samples("toy", read_spin(path), path, Path("images"), open_body())


def test_all_keys_are_read(tmp_path):
    samples = ingest(write(tmp_path / "all.npz"))
    assert samples.gender == ["male", "female"] * 3
    assert samples.has_smpl.all() and samples.has_keypoints_3d.all()
    assert overlap(samples, PEOPLE, range(N)).min() > 0.9
    pelvis = J24.index("pelvis")
    rooted = PEOPLE.keypoints_m - PEOPLE.keypoints_m[:, pelvis, None]
    np.testing.assert_allclose(samples.keypoints_3d[..., :3], rooted, atol=1e-6)


@pytest.mark.parametrize(
    "missing",
    [
        ("pose", "shape", "has_smpl", "gender"),  # the evaluation files of Human3.6M
        ("S", "part", "has_smpl"),  # 3DPW
        ("pose", "shape", "has_smpl", "gender", "S"),  # COCO, MPII, LSP
        ("S", "has_smpl", "gender"),  # UP-3D
    ],
)
def test_every_key_but_three_may_be_missing(missing, tmp_path):
    samples = ingest(write(tmp_path / "some.npz", **dict.fromkeys(missing)))
    assert bool(samples.has_smpl.all()) == ("pose" not in missing)
    assert bool(samples.has_keypoints_3d.all()) == ("S" not in missing)
    assert bool(samples.keypoints_2d.any()) == ("part" not in missing)


def test_has_smpl_marks_the_rows_that_have_a_body(tmp_path):
    valid = np.arange(N) % 2
    poses = PEOPLE.poses.copy()
    poses[0] = np.nan  # not valid, so not looked at
    samples = ingest(write(tmp_path / "a.npz", has_smpl=valid, pose=poses))
    assert samples.has_smpl.tolist() == (valid > 0).tolist()


def test_numbers_of_any_type_and_names_as_bytes(tmp_path):
    names = np.array([f"{row}.jpg".encode() for row in range(N)])
    center, scale = boxes(PEOPLE)
    path = write(
        tmp_path / "a.npz",
        imgname=names,
        center=center.astype(np.float32),
        scale=scale.astype(np.float16),
        has_smpl=np.ones(N, np.uint8),
    )
    assert ingest(path).image_name[1] == "1.jpg"


@pytest.mark.parametrize(
    ("given", "found"),
    [("m", "male"), ("F", "female"), ("neutral", "neutral"), ("Male", "male"), ("", "")],
)
def test_genders(given, found):
    assert genders(Path("a"), np.array([given, "f"])).tolist() == [found, "female"]


def test_genders_of_no_rows():
    assert genders(Path("a"), np.zeros(0, str)).tolist() == []


def test_joints_without_confidence_may_lie_anywhere():
    keypoints = np.zeros((2, 24, 4))
    keypoints[0, 3, 0] = 1e6
    keypoints[1, :, 3] = 1
    assert in_metres(Path("a"), "S", keypoints) is keypoints
    keypoints[1, 5, 1] = 900.0
    with pytest.raises(InputError, match=r"'S' row 1 spans 900; .*millimetres"):
        in_metres(Path("a"), "S", keypoints)


def test_a_pickle_in_the_npz_is_not_run(tmp_path):
    path = write(tmp_path / "a.npz", imgname=np.array([{"a": 1}] * N, object))
    with pytest.raises(InputError, match=r"a\.npz: 'imgname' row 0 is a dict; expected texts"):
        read_spin(path)
