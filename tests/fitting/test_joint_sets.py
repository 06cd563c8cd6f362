"""Joints by the names of many sets, and the points of a body that they are."""

import torch
from fitted import poses
from people import open_body

from pmnet.body.keypoints import J24
from pmnet.body.parts import JOINTS
from pmnet.fitting.joint_sets import known_joints, points_of_joints


def test_names_of_sets_are_joints_of_the_skeleton():
    assert known_joints(JOINTS) == {joint: ("joint", joint) for joint in JOINTS}
    known = known_joints(["Anna:LHip", "R_Knee", "right ankle", "LHJC", "Nose", "REar", "xyz"])
    assert list(known.values()) == [
        *(("joint", "left_hip"), ("joint", "right_knee"), ("joint", "right_ankle")),
        *(("joint", "left_hip"), ("keypoint", "nose"), ("keypoint", "right_ear")),
    ]
    assert known_joints(["RBigToe"]) == {"RBigToe": ("vertex", "RBigToe")}
    assert known_joints(["RHeel"]) == {"RHeel": ("vertex", "RHeel")}


def test_a_name_means_what_its_set_says():
    """A hand is a wrist, and a shoulder a collar, where bones name the joints; J24 has a neck of its own."""
    bones = known_joints(["LeftForeArm", "LeftHand", "RightShoulder", "LeftFoot", "Spine2"])
    assert [what for _, what in bones.values()] == [
        *("left_elbow", "left_wrist", "right_collar", "left_ankle", "spine3")
    ]
    assert known_joints(["left_hand"])["left_hand"] == ("joint", "left_hand")
    assert known_joints(["neck"])["neck"] == ("joint", "neck")
    assert known_joints(["neck", "thorax"])["neck"] == ("keypoint", "neck")


def test_points_are_the_joints_of_posed_bodies_in_the_order_asked_for():
    body, params = open_body(), poses(5, seed=4)
    places = [
        *(("keypoint", "nose"), ("joint", "left_knee"), ("vertex", "RHeel"), ("joint", "pelvis")),
        ("keypoint", "left_wrist"),
    ]
    posed = points_of_joints(body, places).posed(body, params)
    joints, keypoints = body.joints(params), body.keypoints_of(params)
    heel = body.vertices(params)[:, 6787]
    expected = [keypoints[:, J24.index("nose")], joints[:, JOINTS.index("left_knee")], heel]
    expected += [joints[:, 0], keypoints[:, J24.index("left_wrist")]]
    torch.testing.assert_close(posed, torch.stack(expected, 1), atol=2e-4, rtol=0)
