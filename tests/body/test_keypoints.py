"""J24: stand-ins of the open body, SPIN's rows where the user has them."""

import numpy as np
import pytest
import torch
from bodies import facing, mirrored, random_bodies

from pmnet.body import OPEN_BODY, BodyModel, read_body, write_body
from pmnet.body.keypoints import (
    EXTRA,
    J14,
    J17,
    J24,
    LIMBS,
    MIRRORED_J24,
    keypoint_regressor,
    read_extra,
)
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError


def test_there_are_24_names_in_spins_order():
    assert len(set(J24)) == 24
    assert (J24[0], J24[3], J24[12], J24[18], J24[19]) == (
        *("right_ankle", "left_hip", "neck", "head", "nose"),
    )
    assert len(J14) == 14 and len(J17) == 17 and set(J14) < set(J17) < set(J24)


def test_rows_sum_to_one():
    rows = keypoint_regressor(read_body(OPEN_BODY))
    assert rows.shape == (24, 6890)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-4)


def test_joints_of_the_limbs_lie_near_those_of_the_skeleton(body):
    params = random_bodies(4)
    found = body.keypoints(body.vertices(params))[:, :12]
    skeleton = body.joints(params)[:, [JOINTS.index(joint) for joint in LIMBS]]
    distance_m = (found - skeleton).norm(dim=2)
    assert distance_m.mean() < 0.02 and distance_m.max() < 0.08


def test_keypoints_need_only_the_vertices_that_make_them(body):
    params = random_bodies(40)
    expected = body.keypoints(body.vertices(params))
    torch.testing.assert_close(body.keypoints_of(params), expected, atol=1e-5, rtol=0)
    assert body.keypoints_of(params[slice(0)]).shape == (0, 24, 3)


def test_keypoints_of_an_upright_body_are_in_their_places(body):
    points = dict(zip(J24, body.keypoints(body.vertices(facing()))[0], strict=True))
    height = {joint: -float(point[1]) for joint, point in points.items()}  # the camera's y is down
    order = (
        "left_ankle",
        "left_knee",
        "pelvis",
        "spine",
        "thorax",
        "neck",
        "jaw",
        "head",
        "head_top",
    )
    assert list(order) == sorted(order, key=height.__getitem__)
    # a person who faces the camera has the left hand at the right of the picture
    assert points["left_wrist"][0] > 0.3 > -0.3 > points["right_wrist"][0]
    assert points["nose"][2] < points["head"][2]


def test_the_mirrored_body_has_mirrored_keypoints(body):
    params = random_bodies(3)
    plain, other = (body.keypoints(body.vertices(p)) for p in (params, mirrored(params)))
    expected = plain[:, list(MIRRORED_J24)] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(other, expected, atol=3e-3, rtol=0)


def spread_rows(arrays: dict[str, np.ndarray], count: int = 14) -> np.ndarray:
    """Return rows as SPIN's, (count, 6890): a joint is the mean of the ten vertices around its stand-in."""
    stand_ins = keypoint_regressor(arrays)[[J24.index(joint) for joint in EXTRA]]
    extra = np.zeros((count, 6890))
    for row in range(count):
        place = stand_ins[min(row, 8)] @ arrays["v_template"]
        near = np.linalg.norm(arrays["v_template"] - place, axis=1).argsort()[:10]
        extra[row, near] = 0.1
    return extra


def test_spins_rows_take_the_place_of_the_stand_ins(tmp_path):
    arrays = read_body(OPEN_BODY)
    extra = spread_rows(arrays)
    np.save(tmp_path / "J_regressor_extra.npy", extra)
    rows = keypoint_regressor(arrays, read_extra(tmp_path / "J_regressor_extra.npy", arrays))
    for index, joint in enumerate(EXTRA):
        np.testing.assert_allclose(rows[J24.index(joint)], extra[index], rtol=1e-6)
    write_body(tmp_path / "body.npz", arrays | {"keypoint_regressor": rows})
    read = BodyModel.load(tmp_path / "body.npz")
    vertices = read.vertices(random_bodies(1))
    torch.testing.assert_close(read.keypoints(vertices), torch.from_numpy(rows) @ vertices)


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_a_broken_regressor_is_refused(tmp_path, content):
    file = tmp_path / "J_regressor_extra.npy"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"J_regressor_extra\.npy: not a readable \.npy"):
        read_extra(file, read_body(OPEN_BODY))


OTHERS = {
    "17 rows of Human3.6M": (
        lambda rows: rows[[*range(14), 0, 1, 2]],
        r"\(17, 6890\); expected SPIN's",
    ),
    "25 rows": (lambda rows: np.tile(rows, (2, 1))[:25], r"\(25, 6890\); expected SPIN's"),
    "transposed": (lambda rows: rows.T, r"\(6890, 14\) \(it is transposed\)"),
    "of a smaller body": (lambda rows: rows[:, :6000], r"\(14, 6000\); expected .*9 x 6890"),
    "texts": (lambda rows: rows.astype(str), "holds <U.*; expected finite numbers"),
    "a NaN": (lambda rows: np.where(rows > 0, np.nan, 0), "NaN; expected finite"),
    "sums of 2": (lambda rows: rows * 2, "row 0 sums to 2; expected 1"),
    "left and right swapped": (
        lambda rows: rows[[1, 0, *range(2, 14)]],
        "row 0 makes a joint .*right_hip",
    ),
    "upside down": (
        lambda rows: rows[[8, 7, 6, 5, 4, 3, 2, 1, 0]],
        "row 0 makes a joint .* m from",
    ),
    "another order": (lambda rows: rows[[0, 1, 4, 3, 2, 5, 6, 7, 8]], "row 2 makes a joint .*neck"),
    "vertices in another order": (lambda rows: rows[:, ::-1], "makes a joint"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_rows_that_are_not_those_of_spin_are_refused(tmp_path, what):
    change, match = OTHERS[what]
    arrays = read_body(OPEN_BODY)
    np.save(tmp_path / "J.npy", change(spread_rows(arrays)))
    with pytest.raises(InputError, match=rf"J\.npy: .*{match}"):
        read_extra(tmp_path / "J.npy", arrays)


def test_nine_rows_are_enough(tmp_path):
    arrays = read_body(OPEN_BODY)
    np.save(tmp_path / "J.npy", spread_rows(arrays, 9))
    assert read_extra(tmp_path / "J.npy", arrays).shape == (9, 6890)


@pytest.mark.parametrize("broken", [lambda rows: rows * 2, lambda rows: rows[:20], np.zeros_like])
def test_a_body_that_could_not_be_read_again_is_not_written(tmp_path, broken):
    arrays = read_body(OPEN_BODY)
    rows = broken(keypoint_regressor(arrays))
    with pytest.raises(InputError, match=r"body\.npz: not written, .*: .*keypoint_regressor"):
        write_body(tmp_path / "body.npz", arrays | {"keypoint_regressor": rows})
    assert not list(tmp_path.iterdir())
