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


def test_spins_rows_take_the_place_of_the_stand_ins(tmp_path):
    arrays = read_body(OPEN_BODY)
    rng = np.random.default_rng(0)
    extra = rng.dirichlet(np.ones(6890), size=14)
    np.save(tmp_path / "J_regressor_extra.npy", extra)
    rows = keypoint_regressor(arrays, read_extra(tmp_path / "J_regressor_extra.npy"))
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
        read_extra(file)


def test_an_array_that_is_no_regressor_is_refused(tmp_path):
    np.save(tmp_path / "J.npy", np.ones((3, 6890)))
    with pytest.raises(InputError, match=r"J\.npy: expected SPIN's J_regressor_extra"):
        read_extra(tmp_path / "J.npy")


def test_a_body_whose_keypoint_rows_do_not_sum_to_one_is_refused(tmp_path):
    arrays = read_body(OPEN_BODY)
    rows = keypoint_regressor(arrays) * 2
    write_body(tmp_path / "body.npz", arrays | {"keypoint_regressor": rows})
    with pytest.raises(InputError, match=r"row \d+ of keypoint_regressor sums to 2"):
        read_body(tmp_path / "body.npz")
