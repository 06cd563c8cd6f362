"""Synthetic bodies: limits of the joints, both sides, shares, seeds, and actions that look it."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pmnet import datasets
from pmnet.body.camera import View, crop_to_px, project
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset, synthetic
from pmnet.datasets.synthetic import FAMILIES, Options, joint_limits

NOWHERE = Path("unused")
LEVEL = View(
    yaw_spread_deg=30.0,
    yaw_uniform=0.2,
    pitch_spread_deg=0.0,
    roll_spread_deg=0.0,
    margin=0.88,
    margin_spread=0.04,
    shift=0.04,
)
ALL_ALIKE = Options(
    samples=720,
    families=dict.fromkeys(FAMILIES, 1.0),
    jitter_deg=4.0,
    betas_spread=0.5,
    view=LEVEL,
    seed=0,
)


@pytest.fixture(scope="module")
def drawn(body) -> Samples:
    return synthetic.read("toy", NOWHERE, ALL_ALIKE, body)


def few(body, **changed: Any) -> Samples:
    options = replace(ALL_ALIKE, **{"samples": 40, **changed})
    return synthetic.read("toy", NOWHERE, options, body)


def families_of(samples: Samples) -> list[str]:
    return [sequence.rpartition("_")[0] for sequence in samples.sequence]


def of_family(samples: Samples, family: str) -> Samples:
    rows = [row for row, own in enumerate(families_of(samples)) if own == family]
    assert len(rows) > 20
    return samples.select(torch.tensor(rows))


def heights(samples: Samples, *joints: str) -> Tensor:
    """Return how high (m) joints are above the pelvis; the camera looks level, y down."""
    return -samples.keypoints_3d[:, [JOINTS.index(joint) for joint in joints], 1]


def lean_deg(samples: Samples) -> Tensor:
    """Return the angle between the torso and the vertical: 0 upright, 180 on the head."""
    torso = samples.keypoints_3d[:, JOINTS.index("neck"), :3]
    return torch.rad2deg(torch.acos(-torso[:, 1] / torso.norm(dim=1)))


# --- the columns


def test_what_a_sample_says(drawn, body):
    assert len(drawn) == 720
    assert (drawn.about.dataset, drawn.about.joints, drawn.about.pixels) == (
        "toy",
        "smpl24",
        "render",
    )
    assert drawn.about.body == body.sha256
    assert drawn.has_smpl.all() and drawn.has_keypoints_3d.all()
    assert set(families_of(drawn)) == set(FAMILIES)
    assert len(set(drawn.sequence)) == len(set(drawn.image_name)) == 720
    assert drawn.subject == drawn.sequence  # each sample is another person
    assert drawn.image_name[5] == "toy/0000005"
    drawn.check("here")


def test_keypoints_are_the_joints_of_the_body_and_their_projection(drawn, body):
    joints = body.joints(drawn.body_params())
    torch.testing.assert_close(
        drawn.keypoints_3d[..., :3], joints - joints[:, :1], atol=1e-5, rtol=0
    )
    crop = project(joints, drawn.camera)
    torch.testing.assert_close(drawn.keypoints_in_crop(), crop, atol=1e-5, rtol=0)
    px = crop_to_px(crop, drawn.center, drawn.scale)
    torch.testing.assert_close(drawn.keypoints_2d[..., :2], px, atol=1e-3, rtol=0)
    assert (drawn.keypoints_2d[..., 2] == 1).all() and (drawn.keypoints_3d[..., 3] == 1).all()
    assert drawn.keypoints_in_crop().abs().max() <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(body, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        few(body, seed=seed).save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c
    first, third = Samples.load(tmp_path / "a"), Samples.load(tmp_path / "c")
    assert not (first.betas == third.betas).any()


def test_samples_do_not_depend_on_the_number_of_threads(tmp_path):
    for threads in (1, 2):  # each in a process of its own: MKL keeps the first number
        code = f"""
import torch
torch.set_num_threads({threads})
from pmnet.body import OPEN_BODY, BodyModel
from test_synthetic import Path, few
few(BodyModel.load(OPEN_BODY), samples=40).save(Path("{tmp_path}/{threads}.arrow"))
"""
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    one, two = ((tmp_path / f"{threads}.arrow").read_bytes() for threads in (1, 2))
    assert one == two


# --- the poses


def test_joints_stay_in_their_limits(body):
    samples = few(body, samples=300, jitter_deg=40.0)
    low, high = joint_limits().unbind(-1)
    pose = samples.body_pose.view(-1, 23, 3)
    assert (pose >= low[1:] - 1e-4).all() and (pose <= high[1:] + 1e-4).all()
    at_a_limit = ((pose - low[1:]).abs() < 1e-4) | ((pose - high[1:]).abs() < 1e-4)
    assert at_a_limit.float().mean() > 0.1  # so much jitter meets them often


def test_mean_poses_and_moves_of_the_left_side_leave_room_for_jitter():
    low, high = joint_limits().rad2deg().unbind(-1)
    for name, family in FAMILIES.items():
        for joint, angles in family.mean.items():
            index = JOINTS.index(joint)
            assert (torch.tensor(angles) >= low[index] - 1e-3).all(), (name, joint)
            assert (torch.tensor(angles) <= high[index] + 1e-3).all(), (name, joint)
        assert {joint for move in family.moves for joint in move} <= set(JOINTS)


def test_limits_of_the_right_side_mirror_those_of_the_left():
    limits = joint_limits()
    mirror = limits[list(MIRRORED_JOINTS)]
    torch.testing.assert_close(limits[:, 0], mirror[:, 0])
    torch.testing.assert_close(limits[1:, 1:], -mirror[1:, 1:].flip(-1))
    knee = limits[JOINTS.index("left_knee"), 0].rad2deg()
    assert knee.tolist() == pytest.approx([0, 150])
    assert (limits[0].abs() == math.pi).all()


def test_half_of_the_samples_are_mirrored(body):
    samples = few(body, samples=300, families={"kick": 1.0})
    left, right = heights(samples, "left_knee", "right_knee").unbind(1)
    share = (left > right).float().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(300))


def test_families_have_their_shares(body):
    shares = {"stand": 6.0, "lie": 3.0, "squat": 1.0, "kick": 0.0}
    samples = few(body, samples=600, families=shares)
    families = families_of(samples)
    assert "kick" not in families
    for family, share in shares.items():
        p = share / 10
        bound = 4 * math.sqrt(600 * p * (1 - p))
        assert abs(families.count(family) - 600 * p) <= bound, family


def test_betas_have_their_spread_and_end_at_three(body):
    samples = few(body, samples=400, betas_spread=0.5)
    assert samples.betas.std().item() == pytest.approx(0.5, rel=0.05)
    wide = few(body, samples=200, betas_spread=4.0)
    assert wide.betas.abs().max() == 3


# --- the actions


@pytest.mark.parametrize(
    ("family", "least_deg", "most_deg"),
    [
        ("stand", 0, 40),
        ("walk", 0, 40),
        ("wave", 0, 45),
        ("sit", 0, 40),
        ("squat", 0, 50),
        ("kneel", 0, 45),
        ("kick", 0, 45),
        ("lunge", 0, 40),
        ("lie", 60, 115),
        ("crawl", 55, 110),
        ("cartwheel", 40, 140),
        ("handstand", 145, 180),
    ],
)
def test_a_family_is_as_upright_as_its_name_says(drawn, family, least_deg, most_deg):
    some = of_family(drawn, family)
    lean = lean_deg(some)
    assert least_deg <= lean.min() and lean.max() <= most_deg
    head, left, right = heights(some, "head", "left_ankle", "right_ankle").unbind(1)
    if most_deg <= 50:
        assert (head > 0.3).all() and (head > torch.maximum(left, right)).all()
        assert (torch.minimum(left, right) < -0.2).all()
    if family == "handstand":
        assert (head < -0.3).all() and (torch.minimum(left, right) > 0.4).all()


def test_every_family_is_in_the_list_above():
    rows = test_a_family_is_as_upright_as_its_name_says.pytestmark[0].args[1]
    assert {family for family, _, _ in rows} == set(FAMILIES)


def test_what_the_limbs_do(drawn):
    knees = {
        family: heights(of_family(drawn, family), "left_knee", "right_knee")
        for family in ("stand", "sit", "squat", "kneel", "kick", "crawl")
    }
    assert (knees["stand"] < -0.25).all()
    assert (knees["sit"] > -0.3).all()  # thighs are level
    assert (knees["squat"] > -0.35).all()
    for family in ("kneel", "kick"):  # one knee is up
        assert (knees[family].amax(1) - knees[family].amin(1) > 0.05).all()
    feet = heights(of_family(drawn, "squat"), "left_ankle", "right_ankle")
    assert (feet > -0.6).all()  # the pelvis is near the ground
    hands = heights(of_family(drawn, "wave"), "left_wrist", "right_wrist")
    assert (hands.amax(1) > 0.3).all() and (hands.amin(1) < hands.amax(1) - 0.1).all()
    on_hands = heights(of_family(drawn, "handstand"), "left_wrist", "right_wrist")
    assert (on_hands < heights(of_family(drawn, "handstand"), "head")).all()
    crawling = heights(of_family(drawn, "crawl"), "left_wrist", "right_wrist")
    assert (crawling < -0.05).all() and (knees["crawl"] < -0.15).all()


# --- what is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"families": {"stand": 1.0, "fly": 1.0}}, "toy: no family called fly; known are stand,"),
        ({"families": {}}, "samples must be positive"),
        ({"families": {"stand": 0.0}}, "shares of families must not be negative"),
        ({"families": {"stand": 2.0, "walk": -1.0}}, "shares of families must not be negative"),
        ({"samples": 0}, "toy: samples must be positive"),
    ],
)
def test_wrong_options_are_refused(body, changed, message):
    with pytest.raises(InputError, match=message):
        few(body, **changed)


def test_the_adapter_is_found_by_its_name(body):
    options = {**vars(ALL_ALIKE), "samples": 3, "view": vars(LEVEL)}
    entry = Dataset("synthetic", "train", NOWHERE, options)
    assert len(datasets.read("toy", entry, body, "params.yaml: datasets.toy")) == 3
    with pytest.raises(InputError, match=r"params.yaml: datasets.toy.adapter: 'h36' is not one of"):
        datasets.read("toy", replace(entry, adapter="h36"), body, "params.yaml: datasets.toy")
    typo = replace(entry, options={**options, "jiter_deg": 1.0})
    with pytest.raises(InputError, match=r"datasets.toy.options.jiter_deg: unknown parameter"):
        datasets.read("toy", typo, body, "datasets.toy")
