"""People of the open body in the layouts of Human3.6M and MPI-INF-3DHP, whole and broken.

Each `write_*` writes the files of a layout below a folder, images included, and returns which person each
image shows. `LAYOUTS` has the entry of params.yaml for each, `BROKEN` what users get wrong.
"""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import broken
import h5py
import numpy as np
from people import People
from scipy.io import loadmat, savemat
from scipy.spatial.transform import Rotation

from pmnet import datasets
from pmnet.body import BodyModel
from pmnet.body.keypoints import J24
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset
from pmnet.datasets._shared.units import box_around
from pmnet.datasets.h36m.annotation_json import H36M17
from pmnet.datasets.h36m.names import CAMERAS
from pmnet.datasets.mpi_inf_3dhp.raw import MPI17, MPI28, VIDEOS

J17_NAMES = [joint for joint in H36M17 if joint in J24]
DEPTH_MM = np.array([300.0, -200.0, 4500.0])  # where the person stands before the camera
MOSH = "neutrMosh/neutrSMPL_H3.6"
UNIV = 1.1  # universal skeletons are of another size


@dataclass(frozen=True)
class Layout:
    """A layout: what writes it, and its entry in params.yaml; paths of options are below the root."""

    write: Callable[[Path, People], dict[str, int]]
    adapter: str
    source: str
    images: str
    options: dict[str, Any]

    def read(self, root: Path, body: BodyModel, **changed: Any) -> Samples:
        """Return what is ingested from a folder that `write` wrote."""
        options = {**self.options, "images": str(root / self.images), **changed}
        entry = Dataset(self.adapter, "train", root / self.source, options)
        return datasets.read("toy", entry, body, "params.yaml: datasets.toy")


def rows_of(samples: Samples, written: dict[str, int]) -> list[int]:
    """Return which person each sample shows; `written` is what a `write_*` returned."""
    return [written[name] for name in samples.image_name]


# --- the pieces


def annotated(people: People, pixels: bool) -> np.ndarray:
    """Return J24 with confidence 1 at the 17 joints that studios measure, px or m from the pelvis."""
    values = people.keypoints_px if pixels else people.keypoints_m
    values = values if pixels else values - values[:, [J24.index("pelvis")]]
    known = np.isin(J24, J17_NAMES)[None, :, None]
    both = np.concatenate([values, np.ones((*values.shape[:2], 1))], 2)
    return np.where(known, both, 0.0)


def boxes(people: People) -> tuple[np.ndarray, np.ndarray]:
    return box_around(people.keypoints_px, np.ones(people.keypoints_px.shape[:2], bool))


def write_npz(path: Path, names: list[str], people: People, *keys: str) -> None:
    """Write SPIN's npz with `imgname`, `center`, `scale` and the other `keys`."""
    center, scale = boxes(people)
    values = {
        "S": annotated(people, pixels=False),
        "part": annotated(people, pixels=True),
        "openpose": np.zeros((len(people), 25, 3)),
        "pose": people.poses,
        "shape": people.betas,
        "has_smpl": np.ones(len(people)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        imgname=np.array(names),
        center=center,
        scale=scale,
        **{key: values[key] for key in keys},
    )


def write_images(root: Path, names: list[str], people: People) -> dict[str, int]:
    for row, name in enumerate(names):
        people.write(row, root / name)
    return {name: row for row, name in enumerate(names)}


# --- Human3.6M


def h36m_shots(n: int, subjects: tuple[str, ...]) -> list[tuple[str, str, int, int]]:
    """Return subject, action, camera from 0 and frame from 1 (every 5th) of each person."""
    actions = ("Directions 1", "Walking", "WalkDog 2")
    return [
        (subjects[i % len(subjects)], actions[i // 2 % 3], (3, 0, 1, 2)[i % 4], 1 + 5 * (i % 5))
        for i in range(n)
    ]


def h36m_names(shots: list[tuple[str, str, int, int]]) -> list[str]:
    return [
        f"images/{subject}_{action.replace(' ', '_')}.{CAMERAS[camera]}_{frame:06d}.jpg"
        for subject, action, camera, frame in shots
    ]


def write_h36m_mosh_npz(root: Path, people: People) -> dict[str, int]:
    """Write PyMAF's h36m_mosh_train.npz, bodies inside."""
    names = h36m_names(h36m_shots(len(people), ("S1", "S5")))
    keys = ("part", "openpose", "pose", "shape", "S")
    write_npz(root / "extras/h36m_mosh_train.npz", names, people, *keys)
    return write_images(root / "h36m", names, people)


def write_h36m_p2(root: Path, people: People) -> dict[str, int]:
    """Write h36m_valid_protocol2.npz, which has no bodies, and MoSh's pickles."""
    shots = h36m_shots(len(people), ("S9", "S11"))
    names = h36m_names(shots)
    write_npz(root / "data/dataset_extras/h36m_valid_protocol2.npz", names, people, "S")
    write_mosh(root / "data" / MOSH, shots, people)
    return write_images(root / "h36m", names, people)


def write_mosh(folder: Path, shots: list[tuple[str, str, int, int]], people: People) -> None:
    """Write a pickle for each clip and camera, and the world-frame one; frames of nobody differ."""
    frames = {shot[:3]: np.full((8, 72), 0.3) for shot in shots}
    shapes = {shot[:3]: people.betas[row] for row, shot in enumerate(shots)}
    for row, (subject, action, camera, frame) in enumerate(shots):
        pose = people.poses[row].copy()
        root = Rotation.from_rotvec(pose[:3]) * Rotation.from_rotvec([-np.pi, 0, 0])
        pose[:3] = root.as_rotvec()
        frames[subject, action, camera][(frame - 1) // 5] = pose
    for (subject, action, camera), poses in frames.items():
        betas = shapes[subject, action, camera]
        clip = folder / subject / f"{action}_cam{camera}_aligned.pkl"
        write_pickle(clip, {"new_poses": poses, "betas": betas})
        write_pickle(folder / subject / f"{action}.pkl", {"poses": poses, "betas": betas})


def write_pickle(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(values, protocol=2))


def write_h36m_neuralannot(root: Path, people: People) -> dict[str, int]:
    """Write json files of S1 and S9: each person is seen by another camera of the world."""
    names: dict[str, int] = {}
    for subject, rows in ((1, range(4)), (9, range(4, len(people)))):
        files = neuralannot_subject(subject, list(rows), people)
        for kind, values in files.items():
            path = root / f"annotations/Human36M_subject{subject}_{kind}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        names |= {image["file_name"]: image["id"] for image in files["data"]["images"]}
    for name, row in names.items():
        people.write(row, root / "images" / name)
    return names


def neuralannot_subject(subject: int, rows: list[int], people: People) -> dict[str, Any]:
    """Return the json files of one subject; each camera sees one person, at a moment of its own.

    The first camera of S9 is the frontal one.
    """
    assert len(rows) <= 4
    data: dict[str, Any] = {"images": [], "annotations": []}
    cameras, joints, fits = {}, {}, {}
    for index, row in enumerate(rows):
        turn = Rotation.from_rotvec([0.4 + index, 0.3 * subject, -1.0]).as_matrix()
        focal, middle, far_mm = weak_camera(people, row)
        shift = np.array([120.0, -80.0, far_mm])
        middle = middle - focal * shift[:2] / far_mm
        camera = 1 + (index + (3 if subject == 9 else 0)) % 4
        cameras[str(camera)] = {
            "R": turn.tolist(),
            "t": shift.tolist(),
            "f": [focal, focal],
            "c": middle.tolist(),
        }
        seen = people.joints(H36M17, pixels=False)[row] * 1000
        frame = str(5 * index)
        joints[frame] = (seen @ turn).tolist()  # R^T (x - t), people's x being without t
        pose = people.poses[row].copy()
        root = Rotation.from_matrix(turn.T) * Rotation.from_rotvec(pose[:3])
        pose[:3] = root.as_rotvec()
        fits[frame] = {
            "pose": pose.tolist(),
            "shape": people.betas[row].tolist(),
            "trans": [0.0, 0.0, 0.0],
        }
        folder = f"s_{subject:02d}_act_02_subact_01_ca_{camera:02d}"
        data["images"].append(
            {
                "id": row,
                "file_name": f"{folder}/{folder}_{5 * index + 1:06d}.jpg",
                "width": 320,
                "height": 256,
                "subject": subject,
                "action_name": "Directions",
                "action_idx": 2,
                "subaction_idx": 1,
                "cam_idx": camera,
                "frame_idx": 5 * index,
            }
        )
        low, high = people.keypoints_px[row].min(0), people.keypoints_px[row].max(0)
        box = [*low.tolist(), *(high - low).tolist()]
        data["annotations"].append({"id": row, "image_id": row, "bbox": box})
    return {
        "data": data,
        "camera": cameras,
        "joint_3d": {"2": {"1": joints}},
        "SMPL_NeuralAnnot": {"2": {"1": fits}},
    }


def weak_camera(people: People, row: int) -> tuple[float, np.ndarray, float]:
    """Return f and c (px) of a camera so far away (mm) that it sees as the weak-perspective one."""
    points, px = people.keypoints_m[row, :, :2], people.keypoints_px[row]
    apart, seen = points - points.mean(0), px - px.mean(0)
    scale = float((apart * seen).sum() / (apart * apart).sum())
    far_m = 2000.0
    return scale * far_m, px.mean(0) - scale * points.mean(0), far_m * 1000


# --- MPI-INF-3DHP


def mpi_shots(n: int) -> list[tuple[str, str, int, int]]:
    """Return subject, sequence, video and frame from 1 (every 10th) of each person."""
    return [
        (f"S{1 + i // 4}", f"Seq{1 + i // 2 % 2}", VIDEOS[(3 * i) % 8], 1 + 10 * (i % 3))
        for i in range(n)
    ]


def mpi_names(n: int) -> list[str]:
    return [
        f"{subject}/{sequence}/imageFrames/video_{video}/frame_{frame:06d}.jpg"
        for subject, sequence, video, frame in mpi_shots(n)
    ]


def write_mpi_train_npz(root: Path, people: People) -> dict[str, int]:
    """Write SPIN's mpi_inf_3dhp_train.npz, some rows with fits, and the other files of fits."""
    names = mpi_names(len(people))
    path = root / "data/dataset_extras/mpi_inf_3dhp_train.npz"
    write_npz(path, names, people, "part", "pose", "shape", "has_smpl", "S", "openpose")
    edit_npz(path, has_smpl=(np.arange(len(people)) % 2 == 0).astype(float))
    poses, betas, n = people.poses, people.betas, len(people)
    static, spin = root / "data/static_fits", root / "data/spin_fits"
    for folder in (static, spin):
        folder.mkdir(parents=True)
    nowhere = np.zeros_like(poses)
    np.savez(
        static / "mpi-inf-3dhp_mview_fits.npz", pose=nowhere, shape=betas, has_smpl=np.zeros(n)
    )
    np.save(static / "mpi-inf-3dhp_fits.npy", np.concatenate([poses, betas], 1))
    valid = np.arange(n) % 4 == 1
    np.savez(spin / "mpi_inf_3dhp.npz", pose=poses, betas=betas, valid_fit=valid)
    return write_images(root / "mpi_inf_3dhp", names, people)


def write_mpi_test_npz(root: Path, people: People) -> dict[str, int]:
    """Write SPIN's mpi_inf_3dhp_valid.npz, which has no bodies."""
    names = [
        f"mpi_inf_3dhp_test_set/TS{1 + row % 6}/imageSequence/img_{row + 1:06d}.jpg"
        for row in range(len(people))
    ]
    path = root / "extras/mpi_inf_3dhp_valid.npz"
    write_npz(path, names, people, "part", "S")
    return write_images(root / "mpi", names, people)


def write_mpi_raw_train(root: Path, people: People, frames: int = 25) -> dict[str, int]:
    """Write annot.mat of each sequence; where nobody of `people` is, the next of them stands."""
    px = people.joints(MPI28, pixels=True)
    mm = people.joints(MPI28, pixels=False) * 1000 + DEPTH_MM
    shots = mpi_shots(len(people))
    for clip in sorted({shot[:2] for shot in shots}):
        joints2, joints3, universal = (np.empty((14, 1), object) for _ in range(3))
        for video in range(14):
            who = np.zeros(frames, int)
            for row, (subject, sequence, seen_by, frame) in enumerate(shots):
                if (subject, sequence, seen_by) == (*clip, video):
                    who[:] = (row + 1) % len(people)
                    who[frame - 1] = row
            joints2[video, 0] = px[who].reshape(frames, 56)
            joints3[video, 0] = mm[who].reshape(frames, 84)
            universal[video, 0] = UNIV * joints3[video, 0]
        folder = root / clip[0] / clip[1]
        folder.mkdir(parents=True)
        savemat(
            folder / "annot.mat",
            {
                "annot2": joints2,
                "annot3": joints3,
                "univ_annot3": universal,
                "frames": np.arange(frames)[:, None],
                "cameras": np.arange(14)[None],
            },
        )
    return write_images(root, mpi_names(len(people)), people)


def write_mpi_raw_test(root: Path, people: People) -> dict[str, int]:
    """Write annot_data.mat of two subjects; every other frame is not valid and shows nobody."""
    px = people.joints(MPI17, pixels=True)
    mm = people.joints(MPI17, pixels=False) * 1000 + DEPTH_MM
    names = {}
    for subject, rows in (("TS1", range(4)), ("TS5", range(4, len(people)))):
        folder = root / "mpi_inf_3dhp_test_set" / subject
        folder.mkdir(parents=True)
        valid = np.arange(2 * len(rows)) % 2 == 1
        who = np.repeat(np.array(rows), 2)
        write_h5(
            folder / "annot_data.mat",
            annot2=np.where(valid[:, None, None], px[who], 0)[:, None],
            annot3=np.where(valid[:, None, None], mm[who], 0)[:, None],
            univ_annot3=np.where(valid[:, None, None], UNIV * mm[who], 0)[:, None],
            valid_frame=valid[:, None].astype(float),
        )
        for index, row in enumerate(rows):
            name = f"mpi_inf_3dhp_test_set/{subject}/imageSequence/img_{2 * index + 2:06d}.jpg"
            people.write(row, root / name)
            names[name] = row
    return names


def write_h5(path: Path, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values)


# --- the entries

H36M = {
    "layout": "spin",
    "file": None,
    "mosh": None,
    "subjects": None,
    "cameras": None,
    "every": 1,
    "max_fit_error_mm": 0.0,
}
MPI = {
    "layout": "spin",
    "file": None,
    "fits": None,
    "reject": {"max_beta": 0.0, "drops": "fit", "max_reprojection": 0.0},
    "annotation": None,
    "every": 1,
}
P2 = {"file": "dataset_extras/h36m_valid_protocol2.npz", "mosh": MOSH}
SPIN_FITS = [
    {"kind": "own", "file": None},
    {"kind": "spin", "file": "spin_fits/mpi_inf_3dhp.npz"},
    {"kind": "multiview", "file": "static_fits/mpi-inf-3dhp_mview_fits.npz"},
    {"kind": "static", "file": "static_fits/mpi-inf-3dhp_fits.npy"},
]
MPI_NPZ = "dataset_extras/mpi_inf_3dhp_train.npz"
LAYOUTS = {
    "h36m mosh npz": Layout(
        write_h36m_mosh_npz, "h36m", "extras/h36m_mosh_train.npz", "h36m", H36M
    ),
    "h36m p2": Layout(write_h36m_p2, "h36m", "data", "h36m", H36M | P2),
    "h36m neuralannot": Layout(
        write_h36m_neuralannot, "h36m", "annotations", "images", H36M | {"layout": "neuralannot"}
    ),
    "mpi train npz": Layout(
        write_mpi_train_npz,
        "mpi_inf_3dhp",
        "data",
        "mpi_inf_3dhp",
        MPI | {"file": MPI_NPZ, "fits": SPIN_FITS},
    ),
    "mpi test npz": Layout(
        write_mpi_test_npz, "mpi_inf_3dhp", "extras/mpi_inf_3dhp_valid.npz", "mpi", MPI
    ),
    "mpi raw train": Layout(
        write_mpi_raw_train,
        "mpi_inf_3dhp",
        ".",
        ".",
        MPI | {"layout": "raw_train", "annotation": "annot3", "every": 10},
    ),
    "mpi raw test": Layout(
        write_mpi_raw_test,
        "mpi_inf_3dhp",
        "mpi_inf_3dhp_test_set",
        ".",
        MPI | {"layout": "raw_test", "annotation": "annot3"},
    ),
}


# --- what users get wrong


def edit_npz(path: Path, **changed: np.ndarray | None) -> None:
    """Change keys of an npz in place; None takes a key out."""
    with np.load(path) as archive:
        values = {key: archive[key] for key in archive.files} | changed
    np.savez(path, **{key: value for key, value in values.items() if value is not None})


def edit_pickle(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = pickle.loads(path.read_bytes())
    change(values)
    write_pickle(path, values)


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def edit_h5(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def edit_mat(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = {key: value for key, value in loadmat(path).items() if key[0] != "_"}
    change(values)
    savemat(path, values)


def with_nan(values: np.ndarray, row: int) -> np.ndarray:
    values = values.astype(float)
    values[row] = np.nan
    return values


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('sys').modules.update(hostile_pickle_ran=1)",)


P2_NPZ = "data/dataset_extras/h36m_valid_protocol2.npz"
CLIP = f"data/{MOSH}/S9/Directions 1_cam3_aligned.pkl"
JSON = "annotations/Human36M_subject1_{}.json"
TRAIN_NPZ = f"data/{MPI_NPZ}"
MAT, TS1 = "S1/Seq1/annot.mat", "mpi_inf_3dhp_test_set/TS1/annot_data.mat"


def only_world_frame(root: Path) -> None:
    for path in (root / "data" / MOSH).rglob("*_aligned.pkl"):
        path.unlink()


def from_zero(root: Path) -> None:
    folder = root / "S1/Seq1/imageFrames/video_0"
    (folder / "frame_000001.jpg").rename(folder / "frame_000000.jpg")


def metres_h5(file: h5py.File) -> None:
    file["annot3"][...] = file["annot3"][...] / 1000


def replace_h5(file: h5py.File, key: str, values: Any) -> None:
    del file[key]
    file[key] = values


def metres_mat(values: dict[str, Any]) -> None:
    for video in range(14):
        values["annot3"][video, 0] = values["annot3"][video, 0] / 1000


def shorter_cell(values: dict[str, Any]) -> None:
    values["annot3"][0, 0] = values["annot3"][0, 0][:-2]


def nan_cell(values: dict[str, Any]) -> None:
    values["annot2"][0, 0][0, 10] = np.nan


def first_frame(values: Any) -> dict[str, Any]:
    return values["2"]["1"]["0"]


# name of the layout, what is wrong, what breaks the folder, what the error says
Break = Callable[[Path], object]
BROKEN: list[tuple[str, str, Break, str]] = [
    (
        "h36m p2",
        "an image of another name",
        lambda r: edit_npz(r / P2_NPZ, imgname=np.array(["images/000001.jpg"] * 7)),
        r"protocol2\.npz: image 'images/000001\.jpg' of row 0 is not named as Human3\.6M's",
    ),
    (
        "h36m p2",
        "no scale",
        lambda r: edit_npz(r / P2_NPZ, scale=None),
        r"protocol2\.npz: key 'scale' is missing",
    ),
    (
        "h36m p2",
        "widths in px",
        lambda r: edit_npz(r / P2_NPZ, scale=np.full(7, 180.0)),
        r"protocol2\.npz: 'scale' row 0 is 180; .*divide by 200",
    ),
    (
        "h36m p2",
        "3D in mm",
        lambda r: edit_npz(r / P2_NPZ, S=np.load(r / P2_NPZ)["S"] * [1000, 1000, 1000, 1]),
        r"protocol2\.npz: 'S' row 0 spans .*divide by 1000",
    ),
    (
        "h36m p2",
        "rows of another length",
        lambda r: edit_npz(r / P2_NPZ, center=np.zeros((6, 2))),
        r"protocol2\.npz: rows differ in number: .*center 6",
    ),
    (
        "h36m p2",
        "a cut npz",
        lambda r: broken.cut(r / P2_NPZ, 0.5),
        r"protocol2\.npz: not a readable \.npz",
    ),
    (
        "h36m p2",
        "only MoSh of the world's frame",
        only_world_frame,
        r"\.pkl: MoSh in the world's frame, as in all .*_cam0_aligned\.pkl",
    ),
    (
        "h36m p2",
        "world-frame MoSh by an aligned name",
        lambda r: edit_pickle(r / CLIP, lambda v: v.update(poses=v.pop("new_poses"))),
        r"cam3_aligned\.pkl: has 'poses', which are in the world's frame",
    ),
    (
        "h36m p2",
        "a MoSh of 156 numbers a frame",
        lambda r: edit_pickle(r / CLIP, lambda v: v.update(new_poses=np.zeros((8, 156)))),
        r"cam3_aligned\.pkl: 'new_poses' is float64 of shape \(8, 156\); expected .* any x 72",
    ),
    (
        "h36m p2",
        "a MoSh with a NaN",
        lambda r: edit_pickle(r / CLIP, lambda v: v.update(new_poses=with_nan(v["new_poses"], 2))),
        r"cam3_aligned\.pkl: 'new_poses' row 2 is NaN",
    ),
    (
        "h36m p2",
        "a MoSh in degrees",
        lambda r: edit_pickle(r / CLIP, lambda v: v.update(new_poses=np.full((8, 72), 90.0))),
        r"cam3_aligned\.pkl: 'new_poses' row 0 has 90; expected rotation vectors in rad",
    ),
    (
        "h36m p2",
        "a MoSh without betas",
        lambda r: edit_pickle(r / CLIP, lambda v: v.pop("betas")),
        r"cam3_aligned\.pkl: key 'betas' is missing",
    ),
    (
        "h36m p2",
        "a cut pickle",
        lambda r: broken.cut(r / CLIP, 0.7),
        r"cam3_aligned\.pkl.* is truncated",
    ),
    (
        "h36m p2",
        "a hostile pickle",
        lambda r: write_pickle(r / CLIP, {"new_poses": Hostile()}),
        r"cam3_aligned\.pkl.*eval'?, which is refused",
    ),
    (
        "h36m neuralannot",
        "no camera",
        lambda r: edit_json(r / JSON.format("camera"), lambda v: v.pop("2")),
        r"subject1_camera\.json: R of camera 2: expected 3 x 3 numbers",
    ),
    (
        "h36m neuralannot",
        "a mirrored camera",
        lambda r: edit_json(
            r / JSON.format("camera"), lambda v: v["1"].update(R=np.diag([1, 1, -1]).tolist())
        ),
        r"subject1_camera\.json: R of camera 1 is not a rotation",
    ),
    (
        "h36m neuralannot",
        "a camera in metres",
        lambda r: edit_json(
            r / JSON.format("camera"),
            lambda v: [c.update(t=[x / 1e3 for x in c["t"]]) for c in v.values()],
        ),
        r"subject1_camera\.json: the joints of . of 4 images are not in their boxes",
    ),
    (
        "h36m neuralannot",
        "joints in metres",
        lambda r: edit_json(
            r / JSON.format("joint_3d"),
            lambda v: v["2"]["1"].update({"0": (np.array(first_frame(v)) / 1000).tolist()}),
        ),
        r"subject1_joint_3d\.json: 'joint_3d' row 0 spans .*expected a person in millimetres",
    ),
    (
        "h36m neuralannot",
        "a moment without joints",
        lambda r: edit_json(r / JSON.format("joint_3d"), lambda v: v["2"]["1"].pop("5")),
        r"subject1_joint_3d\.json: no joints of action 2, subaction 1, frame 5, which has an image",
    ),
    (
        "h36m neuralannot",
        "a short pose",
        lambda r: edit_json(
            r / JSON.format("SMPL_NeuralAnnot"), lambda v: first_frame(v).update(pose=[0.0] * 69)
        ),
        r"SMPL_NeuralAnnot\.json: pose of action 2, subaction 1, frame 0: expected 72 numbers",
    ),
    (
        "h36m neuralannot",
        "no box",
        lambda r: edit_json(r / JSON.format("data"), lambda v: v["annotations"][1].pop("bbox")),
        r"subject1_data\.json: annotation 1: KeyError\('bbox'\)",
    ),
    (
        "h36m neuralannot",
        "a cut json",
        lambda r: broken.cut(r / JSON.format("joint_3d"), 0.5),
        r"subject1_joint_3d\.json: not readable JSON",
    ),
    (
        "h36m neuralannot",
        "no joints",
        lambda r: (r / JSON.format("joint_3d")).unlink(),
        r"subject1_joint_3d\.json: cannot be read",
    ),
    (
        "mpi train npz",
        "fits of another release",
        lambda r: np.save(r / "data/static_fits/mpi-inf-3dhp_fits.npy", np.zeros((9, 82))),
        r"mpi-inf-3dhp_fits\.npy: 9 fits for the 7 rows of .*mpi_inf_3dhp_train\.npz",
    ),
    (
        "mpi train npz",
        "a NaN that is valid",
        lambda r: edit_npz(r / TRAIN_NPZ, S=with_nan(np.load(r / TRAIN_NPZ)["S"], 3)[:, :, :3]),
        r"mpi_inf_3dhp_train\.npz: 'S' is float64 of shape \(7, 24, 3\); expected",
    ),
    (
        "mpi train npz",
        "a name that says no clip",
        lambda r: edit_npz(r / TRAIN_NPZ, imgname=np.array(["S1_Seq1_000001.jpg"] * 7)),
        r"mpi_inf_3dhp_train\.npz: image 'S1_Seq1_000001\.jpg' of row 0 is not named as MPI",
    ),
    (
        "mpi raw train",
        "a cut mat",
        lambda r: broken.cut(r / MAT, 0.4),
        r"Seq1/annot\.mat: not a readable MATLAB v5 file, or cut short",
    ),
    (
        "mpi raw train",
        "another file by this name",
        lambda r: (r / MAT).write_bytes(b"<html>not found</html>"),
        r"Seq1/annot\.mat: not a readable MATLAB v5 file",
    ),
    (
        "mpi raw train",
        "no 3D",
        lambda r: edit_mat(r / MAT, lambda v: v.pop("annot3")),
        r"Seq1/annot\.mat: key 'annot3' is missing",
    ),
    (
        "mpi raw train",
        "3D in metres",
        lambda r: edit_mat(r / MAT, metres_mat),
        r"Seq1/annot\.mat: 'annot3 of camera 0' row 0 spans .*expected a person in millimetres",
    ),
    (
        "mpi raw train",
        "2D and 3D of different length",
        lambda r: edit_mat(r / MAT, shorter_cell),
        r"Seq1/annot\.mat: rows differ in number: annot2 of camera 0 25, annot3 of camera 0 23",
    ),
    (
        "mpi raw train",
        "a NaN",
        lambda r: edit_mat(r / MAT, nan_cell),
        r"Seq1/annot\.mat: 'annot2 of camera 0' row 0 is NaN",
    ),
    (
        "mpi raw train",
        "images from 0",
        from_zero,
        r"imageFrames/video_0: images are numbered from 0 \(frame_000000\.jpg\)",
    ),
    (
        "mpi raw test",
        "a cut mat",
        lambda r: broken.cut(r / TS1, 0.5),
        r"TS1/annot_data\.mat: not a readable HDF5 file",
    ),
    (
        "mpi raw test",
        "no list of valid frames",
        lambda r: edit_h5(r / TS1, lambda f: f.pop("valid_frame")),
        r"TS1/annot_data\.mat: key 'valid_frame' is missing",
    ),
    (
        "mpi raw test",
        "the joints of the training set",
        lambda r: edit_h5(r / TS1, lambda f: replace_h5(f, "annot2", np.zeros((8, 1, 28, 2)))),
        r"TS1/annot_data\.mat: 'annot2' is float64 of shape \(8, 1, 28, 2\); expected",
    ),
    (
        "mpi raw test",
        "3D in metres",
        lambda r: edit_h5(r / TS1, metres_h5),
        r"TS1/annot_data\.mat: 'annot3' row 0 spans",
    ),
    (
        "mpi raw test",
        "a link into another file",
        lambda r: edit_h5(
            r / TS1,
            lambda f: replace_h5(f, "annot3", h5py.ExternalLink("../TS5/annot_data.mat", "annot3")),
        ),
        r"TS1/annot_data\.mat: 'annot3' is not an array stored in the file itself",
    ),
]
