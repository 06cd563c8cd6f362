"""Folders in the layouts of 3DPW, UP-3D, MoSh, HMR 2.0 and BEDLAM, made of people of the open body."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import numpy as np
import torch
from people import People, draw_people, side_by_side
from scipy.spatial.transform import Rotation
from torchvision.io import write_png

from pmnet.datasets._shared.lsp import LSP14
from pmnet.datasets._shared.units import box_around
from pmnet.datasets.hmr2 import BODY25
from pmnet.datasets.pw3d import COCO18

N = 6
GENDERS = {"downtown_walk_00": "m", "courtyard_hug_00": "fm"}
FRAMES = [0, 0, 1, 2, 2]  # the pose of each frame of a sequence
INVALID_FRAME, UNSEEN_FRAME = 1, 4  # the others show the three poses in turn
# of each frame, from the world to the camera
CAMERAS = Rotation.from_euler("yxz", [[70 + 9 * t, -12, 5] for t in range(5)], degrees=True)
LSP_NUMBERS = [12, 47, 101, 5703, 8000, 8511]

Break = Callable[[Path], None]


def box(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and scale of the people by all their keypoints."""
    return box_around(people.keypoints_px, np.ones(people.keypoints_px.shape[:2], bool))


def with_confidence(points: np.ndarray, confidence: float | np.ndarray = 1.0) -> np.ndarray:
    """Return points with a last column of confidence."""
    column = np.broadcast_to(np.asarray(confidence, float), points.shape[:2])
    return np.concatenate([points, column[..., None]], 2)


def spin_columns(people: People) -> dict[str, Any]:
    """Return the columns of SPIN's npz but for the names."""
    center, scale = box(people)
    return {"center": center, "scale": scale, "pose": people.poses, "shape": people.betas}


# --- 3DPW


def actors() -> dict[str, list[People]]:
    """Return who is seen in each sequence, in three poses: one alone, and two side by side."""
    everyone = draw_people(9, alike=3)
    alone, left, right = (everyone.select(slice(first, first + 3)) for first in (0, 3, 6))
    return {"downtown_walk_00": [alone], "courtyard_hug_00": [*side_by_side(left, right)]}


def write_pw3d(root: Path) -> None:
    """Write two sequences of the test split of 3DPW, with the people of `actors`.

    A sequence has five frames: three with a pose each, one whose camera is not valid and one where no
    joint was found. Its poses stand in a world that a moving camera sees from aside.
    """
    folder = root / "sequenceFiles" / "test"
    folder.mkdir(parents=True)
    for sequence, people in actors().items():
        found = [_actor(*one) for one in zip(people, GENDERS[sequence], strict=True)]
        values = {
            "sequence": sequence,
            **{key: [actor[key] for actor in found] for key in found[0]},
            "img_frame_ids": np.arange(5) * 2,  # of the poses of 60 Hz
            "cam_poses": _extrinsics(),
            "cam_intrinsics": np.eye(3),
            "texture_maps": [np.zeros((2, 2, 3), np.uint8)] * len(found),
            "v_template_clothed": [np.zeros((5, 3))] * len(found),
        }
        with (folder / f"{sequence}.pkl").open("wb") as stream:
            pickle.dump(values, stream, protocol=2)
        for frame, row in enumerate(FRAMES):
            people[0].write(row, root / "imageFiles" / sequence / f"image_{frame:05d}.jpg")


def _extrinsics() -> np.ndarray:
    matrices = np.tile(np.eye(4), (5, 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = CAMERAS.as_matrix(), [0.1, 0.2, 3.0]
    return matrices


def _actor(person: People, gender: str) -> dict[str, Any]:
    poses = person.poses[FRAMES]
    poses[:, :3] = (CAMERAS.inv() * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    seen = with_confidence(person.joints(COCO18, True)[FRAMES], 0.8)
    seen[UNSEEN_FRAME] = 0
    return {
        "poses": poses,
        "poses_60Hz": np.repeat(poses, 2, axis=0),
        "trans": np.zeros((5, 3)),
        "betas": np.concatenate([person.betas[0], np.zeros(290)]),  # longer in some files
        "genders": gender,
        "poses2d": seen.transpose(0, 2, 1),
        "jointPositions": np.zeros((5, 72)),
        "campose_valid": (np.arange(5) != INVALID_FRAME).astype(int),
    }


def write_pw3d_spin(root: Path, people: People) -> None:
    """Write 3DPW's test set as SPIN's npz has it: no keypoints."""
    names = [f"imageFiles/walk_{row // 3:02d}/image_{row:05d}.jpg" for row in range(len(people))]
    gender = np.array(["m", "f"] * (len(people) // 2))
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "3dpw_test.npz", imgname=names, gender=gender, **spin_columns(people))
    for row, name in enumerate(names):
        people.write(row, root / name)


# --- UP-3D


def write_up3d(root: Path, people: People) -> None:
    """Write UP-3D: six images, the lists, GraphCMR's list beside the folder."""
    folder = root / "up-3d"
    folder.mkdir(parents=True)
    joints = with_confidence(people.joints(LSP14, True))
    for row, number in enumerate(LSP_NUMBERS):
        stem = folder / f"{number:05d}"
        people.write(row, Path(f"{stem}_image.png"))
        fit = {
            "pose": people.poses[row],
            "betas": people.betas[row],
            "trans": np.zeros(3),
            "rt": np.zeros(3),
            "t": np.array([0.0, 0.0, 20.0]),
            "f": 5000.0,
        }
        Path(f"{stem}_body.pkl").write_bytes(pickle.dumps(fit, protocol=2))
        np.save(f"{stem}_joints.npy", joints[row].T)
        render = torch.where(people.masks[row], 120, 255).to(torch.uint8).expand(3, -1, -1)
        write_png(render.contiguous(), f"{stem}_render_light.png")
    lines = [f"/{number:05d}_image.png" for number in LSP_NUMBERS]
    lists = {"trainval.txt": lines[:4], "train.txt": lines[:3], "val.txt": lines[3:4]}
    for name, listed in (lists | {"test.txt": lines[4:]}).items():
        (folder / name).write_text("\n".join(listed) + "\n")
    (root / "namesUPlsp.txt").write_text("\n".join(lines[2:]) + "\n\n")


# --- ProHMR, HMR 2.0


def write_hmr2(root: Path, people: People, **changed: Any) -> None:
    """Write an npz of HMR 2.0; a key that is None is left out. The last row has no fit."""
    center, scale = box(people)
    n = len(people)
    names = [f"train2014/COCO_{row:012d}.jpg" for row in range(n)]
    extra = with_confidence(people.keypoints_px[:, :19])
    extra[:, 14:] = 0  # no trunk is annotated
    extra[:, 6] = 0  # nor the right wrist, which BODY_25 has
    extra_3d = with_confidence(people.keypoints_m[:, :19])
    extra_3d[0] = 0
    arrays: dict[str, Any] = {
        "imgname": np.array(names, dtype="S"),
        "center": center,
        "scale": np.stack([scale * 150, scale * 200], 1),
        "body_pose": people.poses,
        "has_body_pose": (np.arange(n) < n - 1).astype(np.float32),
        "betas": people.betas,
        "has_betas": np.ones(n, np.float32),
        "body_keypoints_2d": with_confidence(people.joints(BODY25, True), 0.6),
        "extra_keypoints_2d": extra,
        "extra_keypoints_3d": extra_3d,
        "extra_info": np.array([{}] * n, dtype=object),
    }
    arrays |= changed
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "coco_train.npz", **{k: v for k, v in arrays.items() if v is not None})
    for row, name in enumerate(names):
        people.write(row, root / "coco" / name)


# --- BEDLAM

SCENES = {"20221010_zoom_suburb_6fps": (0, 3), "20221013_static_gym_6fps": (3, 6)}


def write_bedlam(root: Path, people: People, width: int = 72, **changed: Any) -> None:
    """Write two scenes of BEDLAM; `width` 165 makes the poses those of SMPL-X."""
    center, scale = box(people)
    for scene, (first, last) in SCENES.items():
        rows = slice(first, last)
        n = last - first
        names = [f"seq_{row:06d}/seq_{row:06d}_0005.png" for row in range(first, last)]
        poses = np.full((n, width), 0.3)
        poses[:, : min(width, 72)] = people.poses[rows]
        joints = np.concatenate([people.joints_px[rows], np.zeros((n, 103, 2))], 1)
        arrays: dict[str, Any] = {
            "imgname": np.array(names),
            "center": center[rows],
            "scale": scale[rows],
            "pose_cam": poses,
            "shape": np.concatenate([people.betas[rows], np.ones((n, 1))], 1),
            "trans_cam": np.zeros((n, 3)),
            "cam_int": np.tile(np.eye(3), (n, 1, 1)),
            "gtkps": joints,
            "sub": np.array([f"rp_{row}" for row in range(first, last)]),
            "gender": np.array(["female", "male", "neutral"]),
        }
        arrays |= changed
        folder = root / "all_npz_12_training"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{scene}.npz", **{k: v for k, v in arrays.items() if v is not None})
        for row, name in zip(range(first, last), names, strict=True):
            people.write(row, root / "training_images" / scene / "png" / name)


# --- MoSh and MoSh++


def write_stage_ii_npz(path: Path, poses: np.ndarray, /, **changed: Any) -> None:
    """Write one clip as MoSh++ exports it; `poses` are (T, 165) of SMPL-X, the world's z up."""
    arrays: dict[str, Any] = {
        "gender": np.array("female"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(120.0),
        "mocap_time_length": np.array(len(poses) / 120),
        "trans": np.zeros((len(poses), 3)),
        "poses": poses,
        "betas": np.linspace(-1, 2, 16),
        "num_betas": np.array(16),
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "pose_hand": poses[:, 75:165],
        "markers_latent_vids": np.array({"C7": 3829}, object),
        "latent_labels": np.array(["C7"]),
    }
    arrays |= changed
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def write_stage_ii_pickle(path: Path, poses: np.ndarray, /, **changed: Any) -> None:
    """Write one clip as MoSh++ keeps it."""
    surface = {"type": "smplx", "gender": "male", "fname": "model.pkl", "num_betas": 16}
    values: dict[str, Any] = {
        "fullpose": poses,
        "trans": np.zeros((len(poses), 3)),
        "betas": np.linspace(-1, 2, 16),
        "markers_latent": np.zeros((1, 3)),
        "latent_labels": ["C7"],
        "marker_meta": {"marker_vids": {"C7": 3829}},
        "stageii_debug_details": {"cfg": {"surface_model": surface}, "mocap_frame_rate": 60.0},
    }
    values |= changed
    _dump(path, {key: value for key, value in values.items() if value is not None}, 4)


def write_mosh_pickle(path: Path, poses: np.ndarray, /, **changed: Any) -> None:
    """Write one clip as the first MoSh kept it: 300 betas, SMPL-H."""
    values: dict[str, Any] = {
        "pose_est_fullposes": poses[:, :156],
        "pose_est_poses": poses[:, :90],
        "pose_est_trans": np.zeros((len(poses), 3)),
        "shape_est_betas": np.linspace(-1, 2, 16).repeat([1] * 15 + [285]),
        "mocap_framerate": 120.0,
        "ps": {"gender": "male", "fitting_model": "smplh"},
    }
    values |= changed
    _dump(path, {key: value for key, value in values.items() if value is not None}, 2)


def write_neutr_mosh(path: Path, poses: np.ndarray, key: str, **changed: Any) -> None:
    """Write one clip of neutrMosh: SMPL, no frame rate; `key` is poses or new_poses."""
    values = {key: poses[:, :72], "betas": np.linspace(-1, 2, 16)[:10]}
    values |= changed
    _dump(path, {name: value for name, value in values.items() if value is not None}, 2)


def _dump(path: Path, values: dict[str, Any], protocol: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(values, protocol=protocol))


# --- what breaks them


class Hostile:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hostile_pickle_ran",)


def hostile(path: Path) -> None:
    """Put a pickle that runs a command in place of a file."""
    path.write_bytes(pickle.dumps({"poses": Hostile()}))


def edit_pickle(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the dict in a pickle of a fixture."""
    values = pickle.loads(path.read_bytes())
    change(values)
    path.write_bytes(pickle.dumps(values, protocol=2))


def edit_npz(path: Path, **changed: Any) -> None:
    """Change arrays of an npz: None drops a key, a function is given the array."""
    with np.load(path, allow_pickle=True) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for key, value in changed.items():
        new = value(arrays[key]) if callable(value) else value
        arrays[key] = new
        if new is None:
            del arrays[key]
    np.savez(path, **arrays)


def nan_at(row: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what puts a NaN into a row of an array."""

    def spoil(values: np.ndarray) -> np.ndarray:
        values = values.astype(float)
        values[row] = np.nan
        return values

    return spoil


def _sequence(root: Path) -> Path:
    return root / "sequenceFiles" / "test" / "courtyard_hug_00.pkl"


def _of_sequence(change: Callable[[dict[str, Any]], object]) -> Break:
    return lambda root: edit_pickle(_sequence(root), change)


def _of_npz(name: str, **changed: Any) -> Break:
    return lambda root: edit_npz(root / name, **changed)


def _spoil_pose(values: dict[str, Any]) -> None:
    values["poses"][1][2, 5] = np.nan


BROKEN_PW3D: list[tuple[str, Break, str]] = [
    ("no poses2d", _of_sequence(lambda v: v.pop("poses2d")), r"hug_00\.pkl: 'poses2d' must be a list"),
    ("one gender", _of_sequence(lambda v: v["genders"].pop()), "differ in number: .*genders 1"),
    ("wrong gender", _of_sequence(lambda v: v.update(genders=["f", "x"])),
     r"hug_00\.pkl: 'genders\[1\]' is 'x'; expected m or f"),
    ("short cameras", _of_sequence(lambda v: v.update(cam_poses=v["cam_poses"][:3])),
     r"hug_00\.pkl: rows differ in number: .*cam_poses 3"),
    ("3 x 4 cameras", _of_sequence(lambda v: v.update(cam_poses=v["cam_poses"][:, :3])),
     "'cam_poses' is float64 of shape"),
    ("NaN", _of_sequence(_spoil_pose), r"hug_00\.pkl: 'poses\[1\]' row 2 is NaN"),
    ("9 betas", _of_sequence(lambda v: v.update(betas=[b[:9] for b in v["betas"]])),
     r"'betas\[0\]' has 9 numbers; expected 10"),
    ("no rotation", _of_sequence(lambda v: v.update(cam_poses=np.zeros((5, 4, 4)))),
     r"hug_00\.pkl: 'cam_poses' row 0 is not a rotation"),
    ("cut", lambda root: broken.cut(_sequence(root), 0.7), r"hug_00\.pkl.* is truncated"),
    ("hostile", lambda root: hostile(_sequence(root)), r"hug_00\.pkl.*asks for '.*system'"),
    ("no camera", lambda root: [edit_pickle(path, lambda v: v.update(
        campose_valid=[0 * valid for valid in v["campose_valid"]]))
        for path in _sequence(root).parent.glob("*.pkl")] and None,
     r"test: no frame of its 2 sequences is usable: .*not valid.: 15"),
    ("empty folder", lambda root: [p.unlink() for p in _sequence(root).parent.iterdir()] and None,
     r"test: no \.pkl of 3DPW in it; give the folder of one split"),
]  # fmt: skip

BROKEN_PW3D_SPIN: list[tuple[str, Break, str]] = [
    ("300 betas", _of_npz("3dpw_test.npz", shape=np.zeros((N, 300))),
     r"3dpw_test\.npz: 'shape' is float64 of shape \(6, 300\)"),
    ("wrong gender", _of_npz("3dpw_test.npz", gender=np.array(list("mfmfmq"))),
     "'gender' row 5 is 'q'"),
    ("scale in px", _of_npz("3dpw_test.npz", scale=lambda scale: scale * 200),
     "'scale' row 0 is .* Widths in px: divide by 200"),
    ("cut", lambda root: broken.cut(root / "3dpw_test.npz", 0.6), r"not a readable \.npz"),
]  # fmt: skip


def _up(name: str) -> Callable[[Path], Path]:
    return lambda root: root / "up-3d" / name


def _unlink_joints_and_render(root: Path) -> None:
    _up("00012_render_light.png")(root).unlink()
    np.save(_up("00012_joints.npy")(root), np.zeros((3, 14)))


BROKEN_UP3D: list[tuple[str, Break, str]] = [
    ("no list", lambda root: _up("trainval.txt")(root).unlink(), r"trainval\.txt: no readable list"),
    ("empty list", lambda root: _up("trainval.txt")(root).write_text("\n") and None,
     r"trainval\.txt: lists no image"),
    ("another list", lambda root: _up("trainval.txt")(root).write_text("/00012_image.png\nx.jpg\n")
     and None, r"trainval\.txt: line 2 is 'x\.jpg'; expected /01129_image\.png"),
    ("no fit", lambda root: _up("00047_body.pkl")(root).unlink(), r"00047_body\.pkl cannot be read"),
    ("no betas", lambda root: edit_pickle(_up("00047_body.pkl")(root), lambda v: v.pop("betas")),
     r"00047_body\.pkl: key 'betas' is missing"),
    ("rotation matrices", lambda root: edit_pickle(
        _up("00047_body.pkl")(root), lambda v: v.update(pose=np.zeros((24, 3, 3)))),
     r"00047_body\.pkl: 'pose' is float64 of shape \(24, 3, 3\)"),
    ("hostile", lambda root: hostile(_up("00047_body.pkl")(root)), r"00047_body\.pkl.*asks for"),
    ("transposed joints", lambda root: np.save(_up("00047_joints.npy")(root), np.zeros((14, 3))),
     r"00047_joints\.npy: 'joints' is float64 of shape \(14, 3\)"),
    ("cut render", lambda root: broken.cut(_up("00047_render_light.png")(root), 0.3),
     r"00047_render_light\.png: not a readable image"),
    ("no box", _unlink_joints_and_render, r"00012_joints\.npy: no joint is visible"),
]  # fmt: skip

BROKEN_HMR2: list[tuple[str, Break, str]] = [
    ("no imgname", _of_npz("coco_train.npz", imgname=None), r"coco_train\.npz: key 'imgname' is missing"),
    ("no center", _of_npz("coco_train.npz", center=None), "'center'"),
    ("scale by 200 px", _of_npz("coco_train.npz", scale=lambda scale: scale / 200),
     "'scale' is above .* set options.scale to 200 px"),
    ("short betas", _of_npz("coco_train.npz", betas=lambda betas: betas[:4]),
     "rows differ in number: .*betas 4"),
    ("short joints", _of_npz("coco_train.npz", body_keypoints_2d=lambda points: points[:4]),
     "rows differ in number: .*body_keypoints_2d 4"),
    ("NaN", _of_npz("coco_train.npz", body_pose=nan_at(2)), "'body_pose' row 2 is NaN"),
    ("24 joints", _of_npz("coco_train.npz", extra_keypoints_2d=np.zeros((N, 24, 3))),
     r"'extra_keypoints_2d' is float64 of shape \(6, 24, 3\)"),
    ("millimetres", _of_npz("coco_train.npz", extra_keypoints_3d=lambda points: points * 1000),
     "'extra_keypoints_3d' row 1 spans .* millimetres"),
    ("cut", lambda root: broken.cut(root / "coco_train.npz", 0.5), r"not a readable \.npz"),
]  # fmt: skip

SCENE = "all_npz_12_training/20221013_static_gym_6fps.npz"
BROKEN_BEDLAM: list[tuple[str, Break, str]] = [
    ("no pose", _of_npz(SCENE, pose_cam=None), r"gym_6fps\.npz: key 'pose_cam' is missing"),
    ("66 numbers", _of_npz(SCENE, pose_cam=lambda poses: poses[:, :66]), "'pose_cam' is of shape"),
    ("9 betas", _of_npz(SCENE, shape=lambda shape: shape[:, :9]), r"'shape' is \(3, 9\)"),
    ("wrong gender", _of_npz(SCENE, gender=np.array(["f", "x", "m"])), "'gender' row 1 is 'x'"),
    ("NaN", _of_npz(SCENE, gtkps=nan_at(1)), "'gtkps' row 1 is NaN"),
    ("17 joints", _of_npz(SCENE, gtkps=lambda points: points[:, :17]), "'gtkps' is of shape"),
    ("short", _of_npz(SCENE, center=lambda center: center[:2]), "differ in number: .*center 2"),
    ("scale in px", _of_npz(SCENE, scale=lambda scale: scale * 200), "Widths in px"),
    ("cut", lambda root: broken.cut(root / SCENE, 0.5), r"gym_6fps\.npz: not a readable \.npz"),
]  # fmt: skip


def people() -> People:
    """Return the six people of these fixtures."""
    return draw_people(N)
