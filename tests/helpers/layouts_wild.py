"""COCO, MPII, LSP and LSP extended as their releases lay them out: SPIN's npz, fits, raw annotations."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from people import People
from scipy.spatial.transform import Rotation

from pmnet.body.keypoints import J24
from pmnet.datasets._shared.lsp import LSP14
from pmnet.datasets._shared.units import box_around
from pmnet.datasets.coco import COCO17
from pmnet.datasets.mpii import MPII16

SETS = ("coco", "mpii", "lsp", "lsp_extended")
JOINTS = {"coco": COCO17, "mpii": MPII16, "lsp": LSP14, "lsp_extended": LSP14}
IMAGE = {
    "coco": "train2014/COCO_train2014_{:012d}.jpg",
    "mpii": "images/{:09d}.jpg",
    "lsp": "images/im{:04d}.jpg",
    "lsp_extended": "im{:05d}.png",
}
SPIN = {
    "coco": "coco_2014_train.npz",
    "mpii": "mpii_train.npz",
    "lsp": "lsp_dataset_original_train.npz",
    "lsp_extended": "hr-lspet_train.npz",
}
SPIN_FITS = {"coco": "coco", "mpii": "mpii", "lsp": "lsp", "lsp_extended": "lspet"}
STATIC_FITS = {"coco": "coco", "mpii": "mpii", "lsp": "lsp-orig", "lsp_extended": "lspet"}
EFT = {
    "coco": "COCO2014-Part-ver01.json",
    "mpii": "MPII_ver01.json",
    "lsp_extended": "LSPet_ver01.json",
}
RAW = {
    "coco": "annotations/person_keypoints_train2014.json",
    "mpii": "annot/train.h5",
    "lsp": "joints.mat",
    "lsp_extended": "joints.mat",
}


def image_folder(root: Path, name: str) -> Path:
    return root / "images" / name


def image_names(name: str, n: int) -> list[str]:
    return [IMAGE[name].format(row + 1) for row in range(n)]


def write_images(root: Path, name: str, people: People) -> None:
    for row, image in enumerate(image_names(name, len(people))):
        people.write(row, image_folder(root, name) / image)


def boxes(people: People) -> tuple[np.ndarray, np.ndarray]:
    return box_around(people.keypoints_px, np.ones((len(people), 24), bool))


def part(name: str, people: People) -> np.ndarray:
    """Return (N, 24, 3): the joints that the data set annotates, with 1."""
    known = [joint in JOINTS[name] for joint in J24]
    shown = np.broadcast_to(np.array(known, float)[:, None], (len(people), 24, 1))
    return np.concatenate([people.keypoints_px * shown, shown], 2)


def write_spin(root: Path, people: People, name: str) -> None:
    """Write SPIN's npz with its images below `root`; see `write_fits` for the fits."""
    write_images(root, name, people)
    center, scale = boxes(people)
    path = root / "data/dataset_extras" / SPIN[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        imgname=image_names(name, len(people)),
        center=center,
        scale=scale,
        part=part(name, people),
        openpose=np.zeros((len(people), 25, 3)),
    )


def write_lsp_test(root: Path, people: People) -> None:
    """Write SPIN's test npz of LSP, which names masks and parts too."""
    write_images(root, "lsp", people)
    center, scale = boxes(people)
    n = len(people)
    path = root / "data/dataset_extras/lsp_dataset_test.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        imgname=image_names("lsp", n),
        maskname=[f"data/lsp/im{row + 1:04d}_segmentation.png" for row in range(n)],
        partname=[f"data/lsp/im{row + 1:04d}_part_segmentation.png" for row in range(n)],
        center=center,
        scale=scale,
        part=part("lsp", people),
    )


def write_fits(root: Path, people: People, name: str, kind: str) -> Path:
    """Write all people's fits of a kind (spin, static, eft) where its release has them."""
    if kind == "spin":
        path = root / "data/spin_fits" / f"{SPIN_FITS[name]}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        valid = np.ones(len(people), np.uint8)
        poses, betas = people.poses.astype(np.float32), people.betas.astype(np.float32)
        np.savez(path, pose=poses, betas=betas, valid_fit=valid)
    elif kind == "static":
        path = root / "data/static_fits" / f"{STATIC_FITS[name]}_fits.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.concatenate([people.poses, people.betas], 1).astype(np.float32))
    else:
        path = root / "data/eft_fit" / EFT[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ver": 0.1, "data": eft_records(people, name)}))
    return path


def eft_records(people: People, name: str) -> list[dict]:
    """Return EFT's records of all people, the last one first."""
    rotmats = Rotation.from_rotvec(people.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    center, scale = boxes(people)
    return [
        {
            "parm_pose": rotmats[row].tolist(),
            "parm_shape": people.betas[row].tolist(),
            "parm_cam": [0.9, 0.0, 0.0],
            "bbox_scale": scale[row],
            "bbox_center": (center[row] + 3).tolist(),
            "joint_validity_openpose18": [True] * 18,
            "smpltype": "smpl",
            "annotId": row,
            "imageName": Path(image).name,
        }
        for row, image in reversed(list(enumerate(image_names(name, len(people)))))
    ]


def write_raw(root: Path, people: People, name: str) -> None:
    """Write a data set's own annotations with its images below `root`."""
    write_images(root, name, people)
    path = raw_file(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITE[name](path, people)


def raw_file(root: Path, name: str) -> Path:
    return image_folder(root, name) / RAW[name]


def _write_coco(path: Path, people: People) -> None:
    n, names = len(people), image_names("coco", len(people))
    center, scale = boxes(people)
    half = scale * 200 / 1.2 / 2
    keypoints = np.concatenate([people.joints(COCO17, True), np.full((n, 17, 1), 2)], 2)
    keypoints[0, 9, 2] = 1  # labelled but hidden, which counts
    persons = [
        {
            "id": 900 + row,
            "image_id": 500 + row,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": 17,
            "keypoints": keypoints[row].reshape(-1).tolist(),
            "bbox": [*(center[row] - half[row]).tolist(), 2 * half[row], 2 * half[row]],
            "segmentation": [[0, 0, 1, 1]],
        }
        for row in range(n)
    ]
    far = {**persons[0], "id": 800, "num_keypoints": 4, "keypoints": [0] * 39 + [9, 9, 2] * 4}
    crowd = {**far, "id": 801, "iscrowd": 1, "keypoints": [0] * 51, "bbox": [0, 0, 0, 0]}
    images = [{"id": 500 + row, "file_name": Path(names[row]).name} for row in range(n)]
    content = {
        "info": {},
        "images": images[::-1],
        "annotations": [far, *persons, crowd],
        "categories": [{"id": 1, "name": "person"}],
    }
    path.write_text(json.dumps(content))


def _write_mpii(path: Path, people: People) -> None:
    n = len(people)
    center, scale = boxes(people)
    joints = people.joints(MPII16, True)
    partly = joints[:1].copy()
    partly[0, 3] = 0
    names = [Path(image).name.encode() for image in image_names("mpii", n)]
    with h5py.File(path, "w") as file:
        file["imgname"] = np.array([names[0], *names], "S")
        file["center"] = np.concatenate([center[:1], center])
        file["scale"] = np.concatenate([scale[:1], scale])
        file["part"] = np.concatenate([partly, joints])


def _joints(people: People, visible: int) -> np.ndarray:
    flags = np.full((len(people), 14, 1), visible)
    flags[1, 4] = 1 - visible  # a hidden joint
    return np.concatenate([people.joints(LSP14, True), flags], 2)


def _write_lsp(path: Path, people: People) -> None:
    scipy.io.savemat(path, {"joints": _joints(people, 0).transpose(2, 1, 0)})


def _write_lsp_extended(path: Path, people: People) -> None:
    scipy.io.savemat(path, {"joints": _joints(people, 1).transpose(1, 2, 0)})


WRITE: dict[str, Callable[[Path, People], None]] = {
    "coco": _write_coco,
    "mpii": _write_mpii,
    "lsp": _write_lsp,
    "lsp_extended": _write_lsp_extended,
}


# --- what breaks a fixture in place: (name, which data set, layout, breaks, what the error says)


def rewrite(path: Path, **changed: np.ndarray | None) -> None:
    """Write an npz anew with other arrays; None drops one."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files} | changed
    np.savez(path, **{key: values for key, values in arrays.items() if values is not None})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _coco(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def breaks(root: Path) -> None:
        path = raw_file(root, "coco")
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return breaks


def _mpii(key: str, values: Callable[[np.ndarray], np.ndarray] | None) -> Callable[[Path], None]:
    def breaks(root: Path) -> None:
        with h5py.File(raw_file(root, "mpii"), "a") as file:
            old = file[key][()]
            del file[key]
            if values is not None:
                file[key] = values(old)

    return breaks


def _mat(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def breaks(root: Path) -> None:
        path = raw_file(root, name)
        scipy.io.savemat(path, {"joints": change(scipy.io.loadmat(path)["joints"])})

    return breaks


def _nan_joint(joints: np.ndarray) -> np.ndarray:
    joints[0, 0, 2] = np.nan
    return joints


def _remove_image(root: Path) -> None:
    (image_folder(root, "lsp_extended") / "im00003.png").unlink()


BROKEN: list[tuple[str, str, Callable[[Path], None], str]] = [
    (
        "coco: keypoints missing",
        "coco",
        _coco(lambda c: c["annotations"][2].pop("keypoints")),
        r"train2014\.json: 'keypoints' of record 2 is missing",
    ),
    (
        "coco: keypoints short",
        "coco",
        _coco(lambda c: c["annotations"][2].update(keypoints=[1] * 48)),
        r"'keypoints' of record 2 has shape \(48,\); expected 17 x 3",
    ),
    (
        "coco: a NaN",
        "coco",
        _coco(lambda c: c["annotations"][1]["keypoints"].__setitem__(4, float("nan"))),
        "'keypoints' of record 1 is NaN",
    ),
    (
        "coco: box of no size",
        "coco",
        _coco(lambda c: [a.update(bbox=[5, 5, 0, 0]) for a in c["annotations"]]),
        "'bbox' row 0 is 0, so the person has no box",
    ),
    (
        "coco: image unknown",
        "coco",
        _coco(lambda c: c["images"].pop()),
        "'image_id' 500 is not among 'images'",
    ),
    (
        "coco: another json",
        "coco",
        _coco(lambda c: c.pop("annotations")),
        "'annotations' is not a list of records; found info, images",
    ),
    (
        "coco: cut short",
        "coco",
        lambda root: cut(raw_file(root, "coco")),
        r"train2014\.json: not readable JSON",
    ),
    (
        "coco: nobody is whole",
        "coco",
        _coco(lambda c: [a.update(keypoints=[0] * 51) for a in c["annotations"]]),
        "no person is left; dropped",
    ),
    ("mpii: key missing", "mpii", _mpii("part", None), r"train\.h5: key 'part' is missing; found"),
    (
        "mpii: rows differ",
        "mpii",
        _mpii("scale", lambda old: old[:-1]),
        r"train\.h5: rows differ in number: .*scale 6",
    ),
    (
        "mpii: scale in px",
        "mpii",
        _mpii("scale", lambda old: old * 200),
        r"'scale' row 0 is .* divide by 200",
    ),
    (
        "mpii: names are numbers",
        "mpii",
        _mpii("imgname", lambda old: np.arange(len(old))),
        "'imgname' is int64 .* expected texts",
    ),
    (
        "mpii: cut short",
        "mpii",
        lambda root: cut(raw_file(root, "mpii")),
        r"train\.h5: not a readable HDF5 file",
    ),
    (
        "mpii: names no text",
        "mpii",
        _mpii("imgname", lambda old: np.array([b"\xff\xfe.jpg"] * len(old), "S")),
        "'imgname' row 0 is .* which is not UTF-8",
    ),
    (
        "lsp: the file of LSP extended",
        "lsp",
        _mat("lsp", lambda joints: joints.transpose(1, 0, 2)),
        r"joints\.mat: 'joints' is .* of shape \(14, 3, 6\); expected numbers, 3 x 14 x any",
    ),
    ("lsp: a NaN", "lsp", _mat("lsp", _nan_joint), "'joints' of image 3 is NaN"),
    (
        "lsp: no flags",
        "lsp",
        _mat("lsp", lambda joints: joints * 1.5),
        "'joints' of image 2 has flags .*; expected 0 and 1",
    ),
    (
        "lsp: cut short",
        "lsp",
        lambda root: cut(raw_file(root, "lsp")),
        r"joints\.mat: not a readable MATLAB v5 file",
    ),
    (
        "lsp: no file",
        "lsp",
        lambda root: raw_file(root, "lsp").unlink(),
        r"joints\.mat: no such file; options\.file",
    ),
    (
        "lsp extended: an image is missing",
        "lsp_extended",
        _remove_image,
        "'joints' is of 6 images, but .* has 5 named",
    ),
]


def _spin(**changed: object) -> Callable[[Path, People, str], None]:
    def breaks(root: Path, people: People, name: str) -> None:
        path = root / "data/dataset_extras" / SPIN[name]
        with np.load(path) as archive:
            new = {
                key: change(archive[key].copy()) if callable(change) else change
                for key, change in changed.items()
            }
        rewrite(path, **new)

    return breaks


def _nan_center(center: np.ndarray) -> np.ndarray:
    center[2] = np.nan
    return center


def _fits(change: Callable[[Path], None], kind: str) -> Callable[[Path, People, str], None]:
    return lambda root, people, name: change(write_fits(root, people, name, kind))


def _nan_fit(path: Path) -> None:
    fits = np.load(path)
    fits[4, 7] = np.inf
    np.save(path, fits)


def _nan_pose(path: Path) -> None:
    pose = np.load(path)["pose"]
    pose[3, 5] = np.nan
    rewrite(path, pose=pose)


def _pickled(path: Path) -> None:
    np.save(path, np.array([{"pose": 1}], object), allow_pickle=True)


def _eft(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def breaks(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content["data"][1])
        path.write_text(json.dumps(content))

    return breaks


def _no_data(path: Path) -> None:
    path.write_text(json.dumps({"ver": 0.1}))


BROKEN_SPIN: list[tuple[str, str | None, Callable[[Path, People, str], None], str]] = [
    ("key missing", None, _spin(scale=None), r"\.npz: key 'scale' is missing; found"),
    ("rows differ", None, _spin(center=lambda c: c[:-1]), r"rows differ in number: .*center 5"),
    ("a NaN", None, _spin(center=_nan_center), "'center' row 2 is NaN"),
    ("scale in px", None, _spin(scale=lambda s: s * 200), "'scale' row 0 is .* divide by 200"),
    ("49 joints", None, _spin(part=np.ones((6, 49, 3))), r"'part' is .*\(6, 49, 3\)"),
    ("no texts", None, _spin(imgname=np.arange(6)), "'imgname' is int64 .*; expected texts"),
    (
        "joints in mm",
        None,
        _spin(S=np.arange(24.0)[None, :, None] * np.full((6, 24, 4), 90.0)),
        "'S' row 0 spans 1980; .*divide by 1000",
    ),
    (
        "gender",
        None,
        _spin(gender=np.array(list("mfmfxm"))),
        "'gender' row 4 is 'x'; expected m, f",
    ),
    (
        "pose without shape",
        None,
        _spin(pose=np.zeros((6, 72))),
        r"key 'shape' is missing",
    ),
    (
        "cut short",
        None,
        lambda root, people, name: cut(root / "data/dataset_extras" / SPIN[name]),
        r"\.npz: not a readable \.npz",
    ),
    ("no fits file", "spin", lambda root, people, name: None, r"\.npz: not a readable \.npz"),
    (
        "fits of others",
        "spin",
        _fits(lambda p: rewrite(p, pose=np.zeros((5, 72))), "spin"),
        "'betas'",
    ),
    (
        "short fits",
        "static",
        _fits(lambda path: np.save(path, np.load(path)[:-1]), "static"),
        r"_fits\.npy: 5 fits for the 6 rows of .*\.npz; they belong together by position",
    ),
    ("NaN in static fits", "static", _fits(_nan_fit, "static"), "the fit of row 4 is NaN"),
    ("NaN in fits", "spin", _fits(_nan_pose, "spin"), "the fit of row 3 is NaN"),
    ("pickled fits", "static", _fits(_pickled, "static"), r"_fits\.npy: not a readable \.npy"),
    (
        "fits without flag",
        "spin",
        _fits(lambda path: rewrite(path, valid_fit=None), "spin"),
        "key 'has_smpl' is missing; found betas, pose",
    ),
    ("eft: no list", "eft", _fits(_no_data, "eft"), "'data' is not a list of records; found ver"),
    (
        "eft: key missing",
        "eft",
        _fits(_eft(lambda fit: fit.pop("parm_shape")), "eft"),
        "'parm_shape' of record 1 is missing",
    ),
    (
        "eft: rotation vectors",
        "eft",
        _fits(_eft(lambda fit: fit.update(parm_pose=[0.0] * 72)), "eft"),
        r"'parm_pose' of record 1 has shape \(72,\); expected 24 x 3 x 3",
    ),
    (
        "eft: no rotation",
        "eft",
        _fits(_eft(lambda fit: fit.update(parm_pose=[0.5] * 216)), "eft"),
        "'parm_pose' of record 1 is not a rotation",
    ),
    (
        "eft: SMPL-X",
        "eft",
        _fits(_eft(lambda fit: fit.update(smpltype="smplx")), "eft"),
        "has fits of smplx",
    ),
    ("own fits", "own", lambda root, people, name: None, "has no fits of its own"),
]
