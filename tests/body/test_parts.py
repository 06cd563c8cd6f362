"""Joints, parts and the weight of each vertex."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmnet.body.parts import (
    BODY_PARTS,
    JOINTS,
    MIRRORED_JOINTS,
    PARENTS,
    mirror_rotmats,
    mirror_rotvecs,
    vertex_parts,
    vertex_weights,
)
from pmnet.body.rotations import rotvec_to_rotmat

# vertices of the open body
COUNTS = {"limb": 1946, "torso": 1460, "foot": 524, "head": 1400, "hand": 1560}
PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}


def test_every_joint_is_in_exactly_one_part():
    listed = [joint for joints in BODY_PARTS.values() for joint in joints]
    assert sorted(listed) == sorted(JOINTS)
    assert len(set(JOINTS)) == len(JOINTS) == len(PARENTS) == 24


def test_the_tree_hangs_on_the_pelvis():
    assert JOINTS[0] == "pelvis" and PARENTS[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(PARENTS) if joint)
    above = {joint: JOINTS[parent] for joint, parent in zip(JOINTS[1:], PARENTS[1:], strict=True)}
    assert above["left_knee"] == "left_hip" and above["right_hand"] == "right_wrist"
    assert above["head"] == "neck" and above["left_shoulder"] == "left_collar"


def test_every_vertex_is_in_one_part(body):
    assert list(COUNTS) == list(BODY_PARTS)
    counts = torch.bincount(body.parts, minlength=len(BODY_PARTS)).tolist()
    assert dict(zip(BODY_PARTS, counts, strict=True)) == COUNTS
    assert sum(counts) == 6890


def test_a_vertex_belongs_to_the_joint_of_its_largest_weight():
    lbs_weights = torch.zeros(4, 24)
    for vertex, (joint, weight) in enumerate(
        [("left_hip", 1.0), ("spine2", 0.6), ("head", 0.5), ("right_foot", 0.4)]
    ):
        lbs_weights[vertex] = 0.3 / 24
        lbs_weights[vertex, JOINTS.index(joint)] = weight
    parts = [list(BODY_PARTS)[part] for part in vertex_parts(lbs_weights).tolist()]
    assert parts == ["limb", "torso", "head", "foot"]


def test_weights_are_those_of_the_part(body):
    weights = vertex_weights(body.parts, PAPER)
    assert weights.dtype == torch.float32 and weights.shape == (6890,)
    expected = sum(COUNTS[part] * PAPER[part] for part in PAPER)
    assert weights.double().sum().item() == pytest.approx(expected, rel=1e-6)
    flat = vertex_weights(body.parts, dict.fromkeys(BODY_PARTS, 1.0))
    assert (flat == 1).all()
    # the order in which the parts are given does not matter
    assert torch.equal(vertex_weights(body.parts, dict(sorted(PAPER.items()))), weights)


def test_a_part_without_weight_is_an_error(body):
    with pytest.raises(KeyError, match="hand"):
        vertex_weights(body.parts, {part: 1.0 for part in BODY_PARTS if part != "hand"})


def test_the_mirror_image_of_the_mirror_image_is_the_joint():
    twice = [MIRRORED_JOINTS[MIRRORED_JOINTS[joint]] for joint in range(24)]
    assert twice == list(range(24))
    pairs = {JOINTS[joint]: JOINTS[other] for joint, other in enumerate(MIRRORED_JOINTS)}
    assert pairs["left_wrist"] == "right_wrist" and pairs["right_hip"] == "left_hip"
    middle = {joint for joint, other in pairs.items() if joint == other}
    assert middle == {"pelvis", "spine1", "spine2", "spine3", "neck", "head"}


@given(st.lists(st.floats(-3, 3, width=32), min_size=72, max_size=72))
@settings(max_examples=20, deadline=None)
def test_mirroring_twice_changes_nothing(numbers):
    rotvecs = torch.tensor(numbers).view(24, 3)
    assert torch.equal(mirror_rotvecs(mirror_rotvecs(rotvecs)), rotvecs)


def test_a_mirrored_pose_by_hand():
    rotvecs = torch.zeros(1, 24, 3)
    rotvecs[0, JOINTS.index("left_elbow")] = torch.tensor([0.1, 0.2, 0.3])
    rotvecs[0, JOINTS.index("neck")] = torch.tensor([0.4, 0.5, 0.6])
    expected = torch.zeros(1, 24, 3)
    expected[0, JOINTS.index("right_elbow")] = torch.tensor([0.1, -0.2, -0.3])
    expected[0, JOINTS.index("neck")] = torch.tensor([0.4, -0.5, -0.6])
    assert torch.equal(mirror_rotvecs(rotvecs), expected)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_matrices_are_mirrored_as_rotation_vectors_are(seed):
    rotvecs = torch.randn(2, 24, 3, generator=torch.Generator().manual_seed(seed))
    rotmats = rotvec_to_rotmat(rotvecs)
    expected = rotvec_to_rotmat(mirror_rotvecs(rotvecs))
    torch.testing.assert_close(mirror_rotmats(rotmats), expected, atol=1e-6, rtol=0)
    assert torch.equal(mirror_rotmats(mirror_rotmats(rotmats)), rotmats)
