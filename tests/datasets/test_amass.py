"""AMASS clips: which frames are taken, how they stand before the camera, what is refused."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pytest
import torch
from layouts_others import (
    Hostile,
    hostile,
    write_mosh_pickle,
    write_neutr_mosh,
    write_stage_ii_npz,
    write_stage_ii_pickle,
)
from omegaconf import OmegaConf
from torch import Tensor

from pmnet import datasets
from pmnet.body.camera import View
from pmnet.body.parts import JOINTS, mirror_rotvecs
from pmnet.body.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import amass
from pmnet.datasets.amass import Options, find_clips, read_clip

MOCAP = Path(__file__).parents[2] / ".." / "shared" / "mocap"
ELBOW = 3 * JOINTS.index("left_elbow")
FROM_THE_FRONT = View(
    yaw_spread_deg=0.0,
    yaw_uniform=0.0,
    pitch_spread_deg=0.0,
    roll_spread_deg=0.0,
    margin=0.9,
    margin_spread=0.0,
    shift=0.0,
)
EVERY_FRAME = Options(
    subjects=None,
    framerate_hz=0.0,
    min_change_deg=0.0,
    max_samples=0,
    mirrored=False,
    views=1,
    betas="file",
    betas_spread=1.0,
    view=FROM_THE_FRONT,
    seed=0,
)


def standing(frames: int, heading_deg: float = 0.0) -> np.ndarray:
    """Return poses as AMASS has them: the world's z is up, a left elbow that bends 1 degree a frame."""
    poses = np.zeros((frames, 156))
    # upright is a quarter turn about x, then the heading about z
    heading = rotvec_to_rotmat(torch.tensor([0.0, 0.0, math.radians(heading_deg)]))
    upright = rotvec_to_rotmat(torch.tensor([math.pi / 2, 0.0, 0.0]))
    poses[:, :3] = rotmat_to_rotvec(heading @ upright).numpy()
    poses[:, ELBOW + 1] = -np.radians(np.arange(frames))
    poses[:, 66:] = 0.5  # the hands, which are not read
    return poses


def write_clip(folder: Path, name: str, frames: int = 12, **changed: Any) -> Path:
    """Write one clip in AMASS's layout; a key that is None is left out."""
    arrays: dict[str, Any] = {
        "poses": standing(frames),
        "trans": np.zeros((frames, 3)),
        "betas": np.linspace(-1, 2, 16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "dmpls": np.zeros((frames, 8)),
    }
    arrays |= changed
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def read(body, source: Path, **changed: Any) -> Samples:
    return amass.read("toy", source, replace(EVERY_FRAME, **changed), body)


def elbow_deg(rotvecs: Tensor) -> list[int]:
    """Return the bend of the left elbow of each frame: the number of the frame."""
    return (
        (-rotvecs.reshape(-1, 24, 3)[:, JOINTS.index("left_elbow"), 1]).rad2deg().round().tolist()
    )


def frames_of(source: Path, **changed: Any) -> list[int]:
    """Return the numbers of the frames taken from the one clip of `source`."""
    (path,) = find_clips(source, None)
    return elbow_deg(read_clip(path, source, replace(EVERY_FRAME, **changed)).rotvecs)


# --- which frames


def test_the_first_66_numbers_are_used_and_hands_rest(tmp_path):
    path = write_clip(tmp_path, "S1/walk_poses")
    clip = read_clip(path, tmp_path, EVERY_FRAME)
    assert clip.rotvecs.shape == (12, 24, 3)
    assert (clip.rotvecs[:, 22:] == 0).all()
    expected = torch.from_numpy(standing(12)[:, :66]).float()
    assert torch.equal(clip.rotvecs[:, :22].flatten(1), expected)
    assert (clip.subject, clip.name) == ("S1", "S1/walk_poses")
    torch.testing.assert_close(clip.betas, torch.linspace(-1, 2, 16)[:10])


@pytest.mark.parametrize(
    ("framerate_hz", "taken"),
    [
        (0.0, range(12)),
        (120.0, range(12)),
        (500.0, range(12)),
        (60.0, range(0, 12, 2)),
        (30.0, range(0, 12, 4)),
        (10.0, [0]),
    ],
)
def test_faster_clips_are_thinned_to_the_frame_rate(tmp_path, framerate_hz, taken):
    write_clip(tmp_path, "S1/walk_poses")
    assert frames_of(tmp_path, framerate_hz=framerate_hz) == list(taken)


def test_the_other_name_of_the_frame_rate_is_known(tmp_path):
    write_clip(tmp_path, "S1/a", mocap_framerate=None, mocap_frame_rate=np.array(60.0))
    assert frames_of(tmp_path, framerate_hz=20.0) == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("min_change_deg", "framerate_hz", "taken"),
    [(0.5, 0.0, range(12)), (2.5, 0.0, [0, 3, 6, 9]), (5.0, 60.0, [0, 6]), (50.0, 0.0, [0])],
)
def test_frames_that_hardly_change_are_dropped(tmp_path, min_change_deg, framerate_hz, taken):
    # the change adds up since the last frame that was kept
    write_clip(tmp_path, "S1/walk_poses")
    assert frames_of(tmp_path, min_change_deg=min_change_deg, framerate_hz=framerate_hz) == list(
        taken
    )


def test_clips_come_in_a_fixed_order_and_only_those_of_the_subjects(tmp_path):
    for name in ("B/2", "A/1", "deep/down/C/3", "A/0"):
        write_clip(tmp_path, name, frames=1)
    np.savez(tmp_path / "A" / "shape.npz", betas=np.zeros(16))

    def names(subjects: list[str] | None) -> list[str]:
        paths = find_clips(tmp_path, subjects)
        return [path.relative_to(tmp_path).with_suffix("").as_posix() for path in paths]

    assert names(None) == ["A/0", "A/1", "B/2", "deep/down/C/3"]
    assert names(["C", "A"]) == ["A/0", "A/1", "deep/down/C/3"]


# --- what becomes of them


def test_a_person_who_stands_is_upright_and_faces_the_camera(body, tmp_path):
    for heading in (0.0, 70.0, 180.0):
        write_clip(tmp_path, f"S1/{heading:.0f}", poses=standing(1, heading), frames=1)
    samples = read(body, tmp_path)
    place = {name: samples.keypoints_3d[:, index, :3] for index, name in enumerate(JOINTS)}
    assert (place["head"][:, 1] < -0.4).all() and (place["left_ankle"][:, 1] > 0.6).all()
    assert (place["left_foot"][:, 2] < place["left_ankle"][:, 2] - 0.05).all()  # toes to the camera
    assert (place["left_wrist"][:, 0] > 0.3).all()  # the left hand is on the right of the image
    matrix = samples.body_params().rotmats[:, 0]
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    torch.testing.assert_close(matrix, half_turn.expand(3, 3, 3), atol=1e-5, rtol=0)


def test_samples_say_where_they_come_from(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=2)
    write_clip(tmp_path, "S2/run", frames=3)
    samples = read(body, tmp_path)
    assert samples.subject == ["S1"] * 2 + ["S2"] * 3
    assert samples.sequence == ["S1/walk"] * 2 + ["S2/run"] * 3
    assert elbow_deg(torch.cat([samples.global_orient, samples.body_pose], 1)) == [0, 1, 0, 1, 2]
    assert samples.about.body == body.sha256 and samples.about.dataset == "toy"
    only = read(body, tmp_path, subjects=["S2"])
    assert only.subject == ["S2"] * 3


def test_betas_are_those_of_the_file_or_drawn(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=300)
    of_file = read(body, tmp_path, max_samples=4)
    expected = torch.linspace(-1, 2, 16)[:10].expand(4, 10)
    torch.testing.assert_close(of_file.betas, expected)
    drawn = read(body, tmp_path, betas="drawn", betas_spread=0.5)
    assert drawn.betas.std().item() == pytest.approx(0.5, rel=0.1)
    assert len(torch.unique(drawn.betas, dim=0)) == 300
    wide = read(body, tmp_path, betas="drawn", betas_spread=5.0, max_samples=50)
    assert wide.betas.abs().max() == 3


def test_drawn_betas_need_no_betas_in_the_file(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=2, betas=None)
    assert len(read(body, tmp_path, betas="drawn")) == 2
    with pytest.raises(InputError, match=r"walk\.npz: 'betas' must be at least 10 finite numbers"):
        read(body, tmp_path)


def test_each_pose_is_also_taken_mirrored(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=5)
    plain, samples = read(body, tmp_path), read(body, tmp_path, mirrored=True)
    assert len(samples) == 10 and samples.subject == ["S1"] * 10
    rotvecs = torch.cat([samples.global_orient, samples.body_pose], 1).view(2, 5, 24, 3)
    expected = torch.cat([plain.global_orient, plain.body_pose], 1).view(5, 24, 3)
    torch.testing.assert_close(rotvecs[0, :, 1:], expected[:, 1:], atol=1e-5, rtol=0)
    mirror = mirror_rotvecs(expected)
    torch.testing.assert_close(rotvecs[1, :, 1:], mirror[:, 1:], atol=1e-5, rtol=0)
    left, right = (
        [JOINTS.index(f"{side}_{joint}") for joint in ("wrist", "elbow", "knee", "foot")]
        for side in ("left", "right")
    )
    # facing the camera, what is seen is the mirror image in x
    seen = samples.keypoints_3d.view(2, 5, 24, 4)
    flip = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(seen[1][:, left], seen[0][:, right] * flip, atol=1e-4, rtol=0)


def test_each_pose_is_seen_several_times(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=4)
    view = replace(FROM_THE_FRONT, yaw_uniform=1.0)
    samples = read(body, tmp_path, views=3, view=view)
    assert elbow_deg(torch.cat([samples.global_orient, samples.body_pose], 1)) == [0, 1, 2, 3] * 3
    assert len(torch.unique(samples.global_orient, dim=0)) == 12


def test_a_subset_is_drawn_by_the_seed(body, tmp_path):
    write_clip(tmp_path, "S1/walk", frames=60)
    subsets = [
        elbow_deg(torch.cat([s.global_orient, s.body_pose], 1))
        for s in (read(body, tmp_path, max_samples=10, seed=seed) for seed in (1, 1, 2))
    ]
    assert subsets[0] == subsets[1] != subsets[2]
    assert len(set(subsets[0])) == 10 and subsets[0] == sorted(subsets[0])
    assert len(read(body, tmp_path, max_samples=100)) == 60


def test_the_same_seed_gives_the_same_bytes(body, tmp_path):
    write_clip(tmp_path / "source", "S1/walk", frames=6)
    view = replace(FROM_THE_FRONT, yaw_spread_deg=20.0, shift=0.05)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        found = read(body, tmp_path / "source", betas="drawn", view=view, seed=seed)
        found.save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


# --- what is refused


def with_nan(poses: np.ndarray) -> np.ndarray:
    poses[7, 65] = poses[9, 0] = np.nan
    return poses


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"poses": None}, "key 'poses' is missing; found .*betas"),
        ({"poses": with_nan(standing(12))}, r"'poses' row 7 is NaN or infinite \(2 rows\)"),
        ({"poses": standing(12)[0]}, r"'poses' is float64 \(156,\); expected \(frames, 156\)"),
        ({"poses": standing(12)[:, :63]}, r"'poses' is float64 \(12, 63\); expected"),
        ({"poses": np.zeros((4, 52, 3))}, r"'poses' is float64 \(4, 52, 3\); expected"),
        ({"poses": np.zeros((4, 156), int)}, r"'poses' is int64 \(4, 156\); expected"),
        ({"poses": np.full((4, 156), "x")}, r"'poses' is <U1 \(4, 156\); expected"),
        ({"betas": np.zeros(9)}, "'betas' must be at least 10 finite numbers; or set"),
        ({"betas": np.full(16, np.nan)}, "'betas' must be at least 10 finite numbers"),
        ({"betas": np.zeros((1, 16))}, "'betas' must be at least 10 finite numbers"),
        ({"betas": np.full(16, "x")}, "'betas' must be at least 10 finite numbers"),
        (
            {"mocap_framerate": None},
            r"'mocap_framerate' is missing.*; set options\.framerate_hz to 0",
        ),
        ({"mocap_framerate": np.array(0.0)}, "'mocap_framerate' is missing"),
        ({"mocap_framerate": np.array("fast")}, "'mocap_framerate'"),
        ({"mocap_framerate": np.array([30.0, 60.0])}, "'mocap_framerate'"),
    ],
)
def test_a_broken_clip_is_named(body, tmp_path, changed, message):
    write_clip(tmp_path, "S1/fine")
    write_clip(tmp_path, "S1/broken", **changed)
    with pytest.raises(InputError, match=rf"broken\.npz: {message}"):
        read(body, tmp_path, framerate_hz=30.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: broken.cut(path, 0.0),
        lambda path: broken.cut(path, 0.5),
        lambda path: path.write_bytes(b"no archive"),
        broken.spoil,
    ],
)
def test_an_unreadable_clip_is_named(body, tmp_path, damage: Callable[[Path], object]):
    damage(write_clip(tmp_path, "S1/broken"))
    with pytest.raises(InputError, match=r"broken\.npz: not a readable \.npz .* anew"):
        read(body, tmp_path)


def test_one_array_alone_is_named(body, tmp_path):
    path = write_clip(tmp_path, "S1/broken")
    with path.open("wb") as stream:
        np.save(stream, standing(3))
    with pytest.raises(InputError, match=r"broken\.npz: not a readable \.npz"):
        read(body, tmp_path)


def test_objects_in_keys_that_are_not_read_do_no_harm(body, tmp_path):
    # the newer AMASS files carry `markers_latent_vids`, a pickled dict
    write_clip(tmp_path, "S1/new", frames=2, markers_latent_vids=np.array({"C7": 3829}, object))
    assert len(read(body, tmp_path)) == 2


def test_a_clip_without_frames_gives_no_samples(body, tmp_path):
    write_clip(tmp_path, "S1/empty", frames=0)
    write_clip(tmp_path, "S1/walk", frames=2)
    assert len(read(body, tmp_path, min_change_deg=1.0)) == 2


def test_no_clips_or_no_such_subject(body, tmp_path):
    with pytest.raises(InputError, match=r"no \.npz clips below it; expected AMASS's SUBJECT/CLIP"):
        read(body, tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no \.npz clips below it"):
        read(body, tmp_path / "nowhere")
    write_clip(tmp_path, "S1/walk", frames=1)
    with pytest.raises(InputError, match="no clips of subject S3, S9"):
        read(body, tmp_path, subjects=["S1", "S9", "S3"])


# --- real motion capture


@pytest.mark.skipif(
    not MOCAP.is_dir(),
    reason="needs motion capture in AMASS's layout in ../shared/mocap (docs/data.md: where to get it)",
)
@pytest.mark.parametrize(
    ("split", "poses", "subjects"),
    [
        ("train", 34_592, "1 3 6 8 9 11 13 14 16 85 127 139"),
        ("test", 11_582, "2 5 7 10 12 43 49 88 90 131 135 140"),
    ],
)
def test_real_motion_capture_is_read_whole(split, poses, subjects):
    source = MOCAP / split
    clips = [read_clip(path, source, EVERY_FRAME) for path in find_clips(source, None)]
    assert sum(len(clip.rotvecs) for clip in clips) == poses
    assert sorted({int(clip.subject) for clip in clips}) == [int(one) for one in subjects.split()]
    # z up: the root turns the body's y to the world's z in most frames
    roots = rotvec_to_rotmat(torch.cat([clip.rotvecs[:, 0] for clip in clips]))
    assert (roots[:, 2, 1] > 0.7).float().mean() > 0.8
    one = [clip for clip in clips if clip.subject == clips[0].subject]
    slower = replace(EVERY_FRAME, framerate_hz=10.0)
    for clip, path in zip(one, find_clips(source, [clips[0].subject]), strict=True):
        assert torch.equal(read_clip(path, source, slower).rotvecs, clip.rotvecs[::3])


# --- MoSh and MoSh++


def smplx(frames: int = 12) -> np.ndarray:
    """Return poses of SMPL-X: the jaw, eyes and hands follow, and are not read."""
    return np.concatenate([standing(frames)[:, :66], np.full((frames, 99), 0.4)], 1)


WRITERS: list[tuple[str, Callable[..., None], str, float, str]] = [
    ("walk_stageii.npz", write_stage_ii_npz, "female", 120.0, "smplx"),
    ("walk_stageii.pkl", write_stage_ii_pickle, "male", 60.0, "smplx"),
    ("walk_stageII.pkl", write_mosh_pickle, "male", 120.0, ""),
]


@pytest.mark.parametrize(("name", "write", "gender", "rate_hz", "model"), WRITERS)
def test_clips_of_mosh_are_those_of_amass(body, tmp_path, name, write, gender, rate_hz, model):
    write(tmp_path / "mosh" / "S1" / name, smplx())
    write_clip(tmp_path / "amass", "S1/walk")
    samples, expected = read(body, tmp_path / "mosh"), read(body, tmp_path / "amass")
    for column in ("global_orient", "body_pose", "betas", "keypoints_3d"):
        torch.testing.assert_close(getattr(samples, column), getattr(expected, column))
    assert samples.gender == [gender] * 12 and expected.gender == ["female"] * 12
    assert samples.about.counts == {"clips": 1, amass.SMPLX_BETAS: int(model == "smplx")}
    taken = frames_of(tmp_path / "mosh", framerate_hz=30.0)
    assert taken == list(range(0, 12, round(rate_hz / 30)))
    assert read(body, tmp_path / "mosh", betas="drawn").gender == ["neutral"] * 12


def test_what_mosh_says_of_itself_in_objects_is_read(body, tmp_path):
    surface = {"type": "smplx", "gender": "female", "fname": "${dirs.model}", "num_betas": 16}
    config = OmegaConf.create({"surface_model": surface, "stages": [1, {"a": 2}]})
    details = {"cfg": config, "mocap_frame_rate": np.float64(60), "seed": np.random.default_rng()}
    path = tmp_path / "S1" / "walk_stageii.pkl"
    write_stage_ii_pickle(
        path, smplx(), stageii_debug_details=details, marker_meta=OrderedDict(a=1)
    )
    samples = read(body, tmp_path)
    assert samples.gender == ["female"] * 12 and samples.about.counts[amass.SMPLX_BETAS] == 1
    assert frames_of(tmp_path, framerate_hz=30.0) == list(range(0, 12, 2))
    config.surface_model.gender = "${stages.0}"
    write_stage_ii_pickle(path, smplx(), stageii_debug_details=details)
    assert read(body, tmp_path).gender == [""] * 12


@pytest.mark.parametrize("key", ["poses", "new_poses"])
def test_clips_of_neutr_mosh_are_those_of_amass(body, tmp_path, key):
    source = tmp_path / "neutrMosh" / "neutrSMPL_CMU"
    write_neutr_mosh(source / "01" / "01_01.pkl", smplx(), key)
    write_clip(tmp_path / "amass", "01/01_01")
    samples, expected = read(body, source), read(body, tmp_path / "amass")
    for column in ("global_orient", "body_pose", "betas", "keypoints_3d"):
        torch.testing.assert_close(getattr(samples, column), getattr(expected, column))
    assert samples.gender == ["neutral"] * 12 and samples.sequence == ["01/01_01"] * 12
    with pytest.raises(InputError, match=r"01_01\.pkl: 'mocap_framerate' is missing.*to 0"):
        read(body, source, framerate_hz=10.0)
    (found,) = amass.find(tmp_path / "neutrMosh")
    assert found.source == source and found.options["framerate_hz"] == 0
    entry = datasets.Dataset("amass", "train", source, found.options)
    assert len(datasets.read("found", entry, body, "found")) == 24


def test_clips_before_a_camera_are_no_motion_in_the_world(tmp_path):
    folder = tmp_path / "neutrSMPL_H3.6" / "S1"
    write_neutr_mosh(folder / "Directions 1.pkl", smplx(), "poses")
    write_neutr_mosh(folder / "Directions 1_cam3_aligned.pkl", smplx(), "new_poses")
    assert find_clips(folder.parent, None) == [folder / "Directions 1.pkl"]
    assert amass.find(tmp_path) == []  # it belongs to the adapter h36m


def test_links_to_clips_are_followed(tmp_path):
    write_clip(tmp_path / "disk", "S1/walk_poses")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "CMU").symlink_to(tmp_path / "disk")
    clip = tmp_path / "data" / "CMU" / "S1" / "walk_poses.npz"
    assert find_clips(tmp_path / "data", None) == [clip]
    assert [found.source for found in amass.find(tmp_path / "data")] == [tmp_path / "data" / "CMU"]


def test_the_body_of_a_clip_in_two_arrays(body, tmp_path):
    write_stage_ii_npz(tmp_path / "S1" / "walk_stageii.npz", smplx(), poses=None)
    assert frames_of(tmp_path) == list(range(12))


def test_shapes_beside_the_clips_are_no_clips(tmp_path):
    write_stage_ii_npz(tmp_path / "S1" / "walk_stageii.npz", smplx())
    write_stage_ii_pickle(tmp_path / "S1" / "walk_stageii.pkl", smplx())  # the same clip
    write_stage_ii_pickle(tmp_path / "S1" / "run_stageii.pkl", smplx())
    np.savez(tmp_path / "S1" / "neutral_stagei.npz", betas=np.zeros(16))
    (tmp_path / "S1" / "neutral_stagei.pkl").write_bytes(b"")
    names = [path.name for path in find_clips(tmp_path, None)]
    assert names == ["run_stageii.pkl", "walk_stageii.npz"]


@pytest.mark.parametrize("gender", [np.array("female"), np.array(b"female"), np.array("f")])
def test_genders_of_all_spellings(body, tmp_path, gender):
    write_clip(tmp_path, "S1/walk", frames=1, gender=gender)
    assert read(body, tmp_path).gender == ["female"]
    write_clip(tmp_path, "S1/walk", frames=1, gender=None)
    assert read(body, tmp_path).gender == [""]


NAN = smplx()
NAN[4, 7] = np.nan
SHORT = dict(poses=None, pose_body=smplx(5)[:, 3:66])


@pytest.mark.parametrize(
    ("write", "changed", "message"),
    [
        (write_stage_ii_npz, {"gender": np.array("3")}, "'gender' is '3'; expected male"),
        (write_stage_ii_npz, SHORT, "'root_orient' has 12 frames and 'pose_body' 5"),
        (write_stage_ii_npz, {"poses": None, "pose_body": None}, "key 'pose_body' is missing; found betas"),
        (write_stage_ii_pickle, {"fullpose": NAN}, "'fullpose' row 4 is NaN or infinite"),
        (write_stage_ii_pickle, {"fullpose": None}, "'pose_est_fullposes' is missing; found betas"),
        (write_stage_ii_pickle, {"stageii_debug_details": {}}, "'mocap_framerate' is missing"),
        (write_stage_ii_pickle, {"betas": None}, "'betas' must be at least 10"),
        (write_mosh_pickle, {"pose_est_fullposes": smplx()[:, :63]}, r"'pose_est_fullposes' is .*63\)"),
        (write_mosh_pickle, {"shape_est_betas": np.zeros(9)}, "'betas' must be at least 10"),
        (write_mosh_pickle, {"ps": {"gender": "x"}}, "'gender' is 'x'"),
    ],
)  # fmt: skip
def test_a_broken_clip_of_mosh_is_named(body, tmp_path, write, changed, message):
    name = "a_stageii.npz" if write is write_stage_ii_npz else "a_stageii.pkl"
    write(tmp_path / "S1" / name, smplx(), **changed)
    with pytest.raises(InputError, match=rf"a_stageii\.(npz|pkl): .*{message}"):
        read(body, tmp_path, framerate_hz=30.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(hostile, "asks for '.*system'"), (lambda path: broken.cut(path, 0.5), "is truncated")],
)
def test_pickles_run_nothing(body, tmp_path, monkeypatch, damage, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "S1" / "a_stageii.pkl"
    write_stage_ii_pickle(path, smplx())
    damage(path)
    with pytest.raises(InputError, match=rf"a_stageii\.pkl.*{message}"):
        read(body, tmp_path)
    assert not (tmp_path / "hostile_pickle_ran").exists()


def test_objects_beside_the_poses_run_nothing(body, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    details = {"cfg": Hostile(), "mocap_frame_rate": 60.0}
    path = tmp_path / "S1" / "a_stageii.pkl"
    write_stage_ii_pickle(path, smplx(), stageii_debug_details=details, marker_meta=Hostile())
    assert len(read(body, tmp_path)) == 12
    assert not (tmp_path / "hostile_pickle_ran").exists()


def test_folders_of_clips_are_found(body, tmp_path):
    write_clip(tmp_path, "CMU/S1/walk_poses", frames=2)
    write_clip(tmp_path, "own/B/anything", frames=2)
    write_stage_ii_pickle(tmp_path / "SOMA" / "S2" / "run_stageii.pkl", smplx(2))
    np.savez(tmp_path / "coco_train.npz", imgname=np.array(["a"]), poses=np.zeros((1, 72)))
    found = amass.find(tmp_path)
    assert [entry.source.name for entry in found] == ["CMU", "SOMA", "own"]
    for entry in found:
        options = datasets.Dataset("amass", "train", entry.source, entry.options)
        assert len(datasets.read("found", options, body, "found")) > 0
