"""Predictions of the open body in the layouts of the field, written as their systems write them."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from regressors import gendered_arrays
from tiny_world import draw_samples

from pmnet.body import BodyModel, BodyParams
from pmnet.data.samples import Samples
from pmnet.evaluation.predictions.reading import Beside

PAIRS, ALONE = 12, 16  # frames of two people, and of one
MHR_VERTICES = 18439


@dataclass(frozen=True)
class Predicted:
    """Samples like those of 3DPW, two people in some of the images, and predictions of them."""

    body: BodyModel
    samples: Samples
    params: BodyParams

    def __len__(self) -> int:
        return len(self.params)

    @property
    def vertices(self) -> np.ndarray:
        with torch.no_grad():
            return self.body.vertices(self.params).numpy()

    @property
    def h36m(self) -> np.ndarray:
        return self.body.h36m_joints(torch.from_numpy(self.vertices)).numpy()

    @property
    def skeleton(self) -> np.ndarray:
        return self.body.joints(self.params).numpy()

    @property
    def pose(self) -> np.ndarray:
        return self.params.rotvecs().numpy().reshape(-1, 72)

    @property
    def matrices(self) -> np.ndarray:
        return self.params.rotmats.numpy()

    @property
    def betas(self) -> np.ndarray:
        return self.params.betas.numpy()

    @property
    def names(self) -> np.ndarray:
        return np.array(self.samples.image_name)

    @property
    def boxes(self) -> np.ndarray:
        centre, half = self.samples.center.numpy(), 100 * self.samples.scale.numpy()[:, None]
        return np.concatenate([centre - half, centre + half], 1)

    def of(self, rows: np.ndarray) -> "Predicted":
        return Predicted(
            self.body,
            self.samples.select(torch.from_numpy(rows)),
            self.params[torch.from_numpy(rows)],
        )


def draw_predicted(folder: Path) -> Predicted:
    """Return people of two sequences: pairs of people, and one person; predictions are 8 degrees off."""
    body = BodyModel(gendered_arrays(folder))
    n = 2 * PAIRS + ALONE
    drawn = draw_samples(body, n)
    frames = [*range(PAIRS), *range(PAIRS), *range(ALONE)]
    sequences = ["pair"] * 2 * PAIRS + ["alone"] * ALONE
    people = ["pair/0"] * PAIRS + ["pair/1"] * PAIRS + ["alone/0"] * ALONE
    centre = torch.tensor(
        [[300.0, 400.0]] * PAIRS + [[700.0, 380.0]] * PAIRS + [[500.0, 400.0]] * ALONE
    )
    samples = replace(
        drawn,
        about=replace(drawn.about, dataset="pw3d", pixels="files"),
        image_name=[
            f"imageFiles/{s}/image_{t:05d}.jpg" for s, t in zip(sequences, frames, strict=True)
        ],
        subject=people,
        sequence=sequences,
        gender=["male"] * PAIRS + ["female"] * PAIRS + ["male"] * ALONE,
        center=centre,
        scale=torch.full((n,), 1.5),
    )
    generator = torch.Generator().manual_seed(3)
    rotvecs = torch.cat([samples.global_orient, samples.body_pose], 1).view(n, 24, 3)
    rotvecs = rotvecs + 0.08 * torch.randn(n, 24, 3, generator=generator)
    betas = samples.betas + 0.3 * torch.randn(n, 10, generator=generator)
    return Predicted(body, samples, BodyParams.from_rotvecs(rotvecs, betas))


Written = tuple[Path, Beside]


def own_pose(folder: Path, p: Predicted) -> Written:
    file = folder / "own.npz"
    np.savez(file, image_name=p.names, box=p.boxes, pose=p.pose, betas=p.betas, body=p.body.sha256)
    return file, Beside()


def own_matrices(folder: Path, p: Predicted) -> Written:
    file, order = folder / "matrices.npz", np.arange(len(p))[::-1]
    people = np.array(p.samples.subject)
    content = {"image_name": p.names, "person": people, "pose": p.matrices, "betas": p.betas}
    np.savez_compressed(file, **{key: values[order] for key, values in content.items()})
    return file, Beside()


def own_vertices(folder: Path, p: Predicted) -> Written:
    file = folder / "vertices.npz"
    absolute = np.array([f"/somewhere/3dpw/{name}" for name in p.names.tolist()], dtype=object)
    np.savez(file, image_name=absolute, box=p.boxes, vertices=p.vertices)
    return file, Beside()


def spin_by_position(folder: Path, p: Predicted) -> Written:
    file = folder / "spin.npz"
    content = {"pose": p.pose.astype(float), "betas": p.betas.astype(float)}
    np.savez(file, pred_joints=p.h36m.astype(float), camera=np.ones((len(p), 3)), **content)
    return file, Beside()


def spin_by_names(folder: Path, p: Predicted) -> Written:
    """Rows in an order of their own; the npz that was evaluated has their names."""
    order = np.random.default_rng(0).permutation(len(p))
    names = folder / "3dpw_test.npz"
    centre, scale = p.samples.center.numpy(), p.samples.scale.numpy()
    np.savez(names, imgname=p.names[order], center=centre[order], scale=scale[order])
    return spin_by_position(folder, p.of(order))[0], Beside(names=names)


def mmhuman3d_json(folder: Path, p: Predicted) -> Written:
    file = folder / "result_keypoints.json"
    content = {"keypoints": p.h36m, "poses": p.matrices, "betas": p.betas}
    file.write_text(json.dumps({key: values.tolist() for key, values in content.items()}))
    return file, Beside()


def human_data(folder: Path, p: Predicted) -> Written:
    file = folder / "inference_result.npz"
    smpl = {"body_pose": p.pose[:, 3:].reshape(-1, 23, 3), "global_orient": p.pose[:, :3]}
    boxes = np.concatenate([p.boxes, np.ones((len(p), 1))], 1)
    np.savez_compressed(
        file,
        smpl={**smpl, "betas": p.betas},
        verts=p.vertices,
        bboxes_xyxy=boxes,
        image_path=np.array(p.names.tolist(), dtype=object),
        person_id=np.arange(len(p)),
    )
    return file, Beside()


def _frames(p: Predicted, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of the images: a video shows the pairs first."""
    order = list(dict.fromkeys(p.names.tolist()))
    return np.array([order.index(name) for name in p.names[rows].tolist()])


def _people(p: Predicted) -> dict[int, np.ndarray]:
    subjects = np.array(p.samples.subject)
    return {
        i: np.flatnonzero(subjects == s) for i, s in enumerate(dict.fromkeys(subjects.tolist()))
    }


def pymaf_demo(folder: Path, p: Predicted) -> Written:
    file, content = folder / "output.pkl", {}
    for number, rows in _people(p).items():
        corners = p.boxes[rows]
        size = corners[:, 2:] - corners[:, :2]
        content[number] = {
            "pred_cam": np.ones((len(rows), 3), np.float32),
            "verts": p.vertices[rows],
            "pose": p.pose[rows],
            "betas": p.betas[rows],
            "joints3d": None,
            "bboxes": np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, size], 1),
            "frame_ids": _frames(p, rows),
        }
    joblib.dump(content, file)
    return file, Beside()


def wham_demo(folder: Path, p: Predicted) -> Written:
    """WHAM's pickle has no boxes: the people of an image cannot be told apart, so each is alone here."""
    file, content = folder / "wham_output.pkl", {}
    rows = np.flatnonzero(np.array(p.samples.sequence) == "alone")
    trans = np.random.default_rng(0).normal(0, 2, (len(rows), 3)).astype(np.float32)
    content[0] = {
        "pose": p.pose[rows],
        "trans": trans,
        "pose_world": p.pose[rows] * 0,
        "trans_world": trans,
        "betas": p.betas[rows],
        "verts": p.vertices[rows] + trans[:, None],
        "frame_ids": _frames(p, rows) - PAIRS,
    }
    joblib.dump(content, file, compress=3)
    return file, Beside()


def _outputs(p: Predicted, tensors: bool) -> list[dict[str, Any]]:
    """Return batches of HMR 2.0's output."""
    batches = []
    for rows in np.array_split(np.arange(len(p)), 5):
        content: dict[str, Any] = {
            "pred_vertices": p.vertices[rows],
            "pred_cam_t": np.ones((len(rows), 3), np.float32),
            "box_center": p.samples.center.numpy()[rows],
            "box_size": 200 * p.samples.scale.numpy()[rows],
            "pred_smpl_params": {
                "global_orient": p.matrices[rows, :1],
                "body_pose": p.matrices[rows, 1:],
                "betas": p.betas[rows],
            },
        }
        if tensors:
            own = content["pred_smpl_params"]
            content["pred_smpl_params"] = {k: torch.from_numpy(v) for k, v in own.items()}
            content["pred_vertices"] = torch.from_numpy(content["pred_vertices"])
        batches.append({**content, "imgname": p.names[rows].tolist()})
    return batches


def hmr2_pickle(folder: Path, p: Predicted) -> Written:
    file = folder / "hmr2.pkl"
    file.write_bytes(pickle.dumps(_outputs(p, tensors=False)))
    return file, Beside()


def hmr2_torch(folder: Path, p: Predicted) -> Written:
    file = folder / "hmr2.pt"
    outputs = [
        {key: value for key, value in batch.items() if not isinstance(value, np.ndarray)}
        | {"box": torch.from_numpy(p.boxes[rows])}
        for batch, rows in zip(
            _outputs(p, tensors=True), np.array_split(np.arange(len(p)), 5), strict=True
        )
    ]
    torch.save(outputs, file)
    return file, Beside()


def hmr2_flat(folder: Path, p: Predicted) -> Written:
    """TokenHMR's users save the parameters without the dict around them."""
    file = folder / "tokenhmr.npz"
    content = {"global_orient": p.matrices[:, :1], "body_pose": p.matrices[:, 1:], "betas": p.betas}
    np.savez(file, img_path=p.names, box=p.boxes, **content)
    return file, Beside()


@cache
def _mhr() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return triangles, and the triangle and weights of each SMPL vertex, of a mesh of MHR's size."""
    generator = np.random.default_rng(0)
    place = generator.permutation(MHR_VERTICES)[: 2 * 6890].reshape(2, 6890)
    triangles = np.stack([place[0], place[1], place[0]], 1)
    order = generator.permutation(6890)
    weights = generator.dirichlet(np.ones(3), 6890)
    return triangles[order], np.argsort(order), weights


def mhr_vertices(smpl: np.ndarray) -> np.ndarray:
    """Return meshes of MHR's size whose mapping gives these vertices of SMPL."""
    triangles, ids, weights = _mhr()
    first, second = triangles[ids, 0], triangles[ids, 1]
    shift = np.float32(0.02)
    vertices = np.zeros((len(smpl), MHR_VERTICES, 3), np.float64)
    along = weights[:, 1]
    vertices[:, first] = smpl - (along * shift)[:, None]
    vertices[:, second] = smpl + ((1 - along) * shift)[:, None]
    return vertices.astype(np.float32)


def _mapping(folder: Path) -> Beside:
    triangles, ids, weights = _mhr()
    mapping, faces = folder / "mhr2smpl_mapping.npz", folder / "triangles.npy"
    np.savez(mapping, triangle_ids=ids, baryc_coords=weights)
    np.save(faces, triangles)
    return Beside(mapping=mapping, triangles=faces)


def sam3d_pickle(folder: Path, p: Predicted) -> Written:
    file = folder / "sam3d.pkl"
    people = [
        {
            "pred_vertices": mesh,
            "pred_cam_t": np.ones(3, np.float32),
            "focal_length": np.float32(1000),
            "bbox": box,
            "mhr_model_params": np.zeros(204, np.float32),
            "img_path": name,
        }
        for mesh, box, name in zip(mhr_vertices(p.vertices), p.boxes, p.names.tolist(), strict=True)
    ]
    file.write_bytes(pickle.dumps(people))
    return file, _mapping(folder)


def sam3d_npz(folder: Path, p: Predicted) -> Written:
    """One npz per image, with the image's name: the frames of one person."""
    files = folder / "sam3d"
    files.mkdir(parents=True)
    rows = np.flatnonzero(np.array(p.samples.sequence) == "alone")
    for row, mesh in zip(rows, mhr_vertices(p.vertices[rows]), strict=True):
        name = Path(str(p.names[row])).stem
        np.savez(files / f"{name}.npz", pred_vertices=mesh, mhr_model_params=np.zeros(204))
    return files, _mapping(folder)


WHOLE: dict[str, Callable[[Path, Predicted], Written]] = {
    writer.__name__: writer
    for writer in (
        *(own_pose, own_matrices, own_vertices, spin_by_position, spin_by_names),
        *(mmhuman3d_json, human_data, pymaf_demo, hmr2_pickle, hmr2_torch, hmr2_flat),
        sam3d_pickle,
    )
}
OF_ONE = {writer.__name__: writer for writer in (wham_demo, sam3d_npz)}  # of the sequence `alone`


def challenge(folder: Path, p: Predicted) -> Written:
    """A submission to the 3DPW challenge; it holds joints and rotations alone, and other frames too."""
    files = folder / "challenge"
    files.mkdir(parents=True)
    subjects = np.array(p.samples.subject)
    for sequence in dict.fromkeys(p.samples.sequence):
        people = [s for s in dict.fromkeys(subjects.tolist()) if s.startswith(f"{sequence}/")]
        joints = np.stack([p.skeleton[subjects == person] for person in people])
        unused = np.full((len(people), 2, 24, 3), np.nan)
        joints = np.concatenate([joints, unused], 1)
        content = {"jointPositions": joints, "orientations": np.zeros((*joints.shape[:2], 9, 3, 3))}
        (files / f"{sequence}.pkl").write_bytes(pickle.dumps(content))
    return files, Beside()
