"""A loop in the style of SPIN (Kolotouros et al. 2019), written for the comparison.

Worker processes decode, crop, turn and mirror one image at a time; the model runs eagerly in float32; the
bodies of prediction and truth go through `smplx`; the losses pick their samples by boolean masks and every
step reads them one by one. It is not slowed down: all cores work, memory is pinned, the image is resampled
once by compiled code, cuDNN tries its convolutions, and what SPIN does beside training (its fits by SMPLify,
its estimates of translations, its pictures) is left out.
"""

import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.rates import Busy, Clock, Plan
from benchmarks.train_world import World
from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import J24_HIPS, MIRRORED_J24
from pmnet.body.parts import MIRRORED_JOINTS
from pmnet.camera import project
from pmnet.network import IMAGE_MEAN, IMAGE_STD, PMNet, unpack
from pmnet.params import LossWeights, Train
from pmnet.runs import build_network

MEAN, STD = (np.array(values, np.float32)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
AFTER = 5  # steps in which the profiler watches
MIRROR_AXES = np.array([1, -1, -1], np.float32)  # of a rotation vector, when x is mirrored


class People(Dataset):
    """One person an item, changed at random on the CPU."""

    def __init__(self, world: World) -> None:
        _, _, data = world.opened()
        self._file, self._size_px, self._options = world.pixels, data.images.size_px, world.train
        truth = data.truth
        self._rotvecs = truth.params.rotvecs().numpy()
        self._betas = truth.params.betas.numpy()
        self._points = truth.keypoints_2d.numpy()
        self._bones = truth.keypoints_3d.numpy()
        self._prototype = truth.prototype.numpy()
        self._jpeg: Any = None

    def __len__(self) -> int:
        return len(self._betas)

    def __getitem__(self, row: int) -> dict[str, Any]:
        options = self._options.augmentation
        flip = np.random.rand() < options.flip
        gain = np.random.uniform(1 - options.gain, 1 + options.gain, 3).astype(np.float32)
        width = 1 + np.clip(np.random.randn() * options.scale, -options.scale, options.scale)
        turn = np.clip(np.random.randn(), -2, 2) * options.rotation_deg
        turn = math.radians(turn) if np.random.rand() < options.rotation_share else 0.0
        points, bones = self._keypoints(row, flip, turn, width)
        return {
            "images": self._image(row, flip, turn, width, gain),
            "pose": self._pose(row, flip, turn),
            "betas": self._betas[row],
            "points": points,
            "bones": bones,
            "prototype": self._prototype[row],
            "has_smpl": np.float32(1),
            "has_keypoints_3d": np.float32(1),
        }

    def _image(
        self, row: int, flip: bool, turn: float, width: float, gain: np.ndarray
    ) -> np.ndarray:
        """Return the crop (3, s, s), normalised."""
        if self._jpeg is None:  # each worker maps the file itself
            self._jpeg = pa.ipc.open_file(pa.memory_map(str(self._file))).read_all()["pixels"]
        stored = Image.open(io.BytesIO(self._jpeg[row].as_py()))
        s, middle = self._size_px, stored.width / 2
        cos, sin = width * math.cos(turn), width * math.sin(turn)
        sign = (
            -1 if flip else 1
        )  # of x: what is mirrored is turned, so x is mirrored last on the way back
        across, down = (sign * cos, sign * sin), (-sin, cos)
        offsets = (middle - (a + b) * s / 2 for a, b in (across, down))
        rows = [(*row_of, offset) for row_of, offset in zip((across, down), offsets, strict=True)]
        affine = Image.Transform.AFFINE
        cut = stored.transform((s, s), affine, [*rows[0], *rows[1]], Image.Resampling.BILINEAR)
        pixels = np.asarray(cut).transpose(2, 0, 1).astype(np.float32) * gain[:, None, None]
        return (np.clip(pixels, 0, 255) / 255 - MEAN) / STD

    def _pose(self, row: int, flip: bool, turn: float) -> np.ndarray:
        """Return 24 rotation matrices."""
        pose = self._rotvecs[row]
        if flip:
            pose = pose[list(MIRRORED_JOINTS)] * MIRROR_AXES
        rotmats = Rotation.from_rotvec(pose).as_matrix()
        rotmats[0] = Rotation.from_rotvec([0, 0, turn]).as_matrix() @ rotmats[0]
        return rotmats.astype(np.float32)

    def _keypoints(
        self, row: int, flip: bool, turn: float, width: float
    ) -> tuple[np.ndarray, np.ndarray]:
        points, bones = self._points[row].copy(), self._bones[row].copy()
        if flip:
            order = list(MIRRORED_J24)
            points, bones = points[order], bones[order]
            points[:, 0] *= -1
            bones[:, 0] *= -1
        cos, sin = math.cos(turn), math.sin(turn)
        rotation = np.array([[cos, -sin], [sin, cos]], np.float32)
        points[:, :2] = points[:, :2] @ rotation.T / np.float32(width)
        bones[:, :2] = bones[:, :2] @ rotation.T
        return points, bones


def spin_style_loop(
    world: World, device: torch.device, plan: Plan, workers: int, watched: bool
) -> tuple[Clock, Busy]:
    """Train for the windows of a plan and AFTER steps more, and return what was measured."""
    loop = _Loop(world, device, plan, watched)
    steps = plan.counted * plan.window + AFTER
    people = People(world)
    sampler = RandomSampler(people, num_samples=steps * world.train.batch_size)
    loader = DataLoader(
        people,
        world.train.batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        multiprocessing_context="spawn" if workers else None,
    )
    for number, batch in enumerate(loader, 1):
        loop.take(number, batch)
    loop.busy.__exit__()
    return loop.clock, loop.busy


class _Loop:
    """The model, its optimizer, and the clock."""

    def __init__(self, world: World, device: torch.device, plan: Plan, watched: bool) -> None:
        self._body, memory, _ = world.opened()
        self._body.to(device)
        self._device, self._options, self._plan = device, world.train, plan
        self._network = build_network(world.train, memory).to(device).train()
        rate = world.train.learning_rate
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=rate)
        self.clock, self.busy = Clock(plan, world.train.batch_size), Busy(AFTER, watched)
        self.log: dict[str, float] = {}

    def take(self, number: int, batch: dict[str, Tensor]) -> None:
        """Take a step; all of its losses are read, so the device is done."""
        batch = {name: value.to(self._device) for name, value in batch.items()}
        losses = spin_losses(self._network, self._body, batch, self._options)
        self._optimizer.zero_grad()
        losses["loss"].backward()
        self._optimizer.step()
        self.log = {name: value.item() for name, value in losses.items()}
        if number % self._plan.window == 0 and number <= self._plan.counted * self._plan.window:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            self.clock.tick()
        if number == self._plan.counted * self._plan.window:
            self.busy.__enter__()


def spin_losses(
    network: PMNet, body: BodyModel, batch: dict[str, Tensor], options: Train
) -> dict[str, Tensor]:
    """Return the loss and its terms."""
    features = network.neck(network.encoder(batch["images"]))
    scores = network.classifier(features)
    pred = unpack(network.regress(features, network.from_prototypes(batch["prototype"])))
    with torch.no_grad():  # SPIN makes the vertices of the truth in every step
        true_vertices = body(BodyParams(batch["pose"], batch["betas"])).vertices
    vertices = body(pred.params).vertices
    joints = body.keypoints(vertices)
    smpl, known = batch["has_smpl"] == 1, batch["has_keypoints_3d"] == 1
    terms = {
        "keypoints_3d": _bones_loss(joints[known], batch["bones"][known]),
        "keypoints_2d": _points_loss(project(joints, pred.camera), batch["points"]),
        "pose": (pred.params.rotmats[smpl] - batch["pose"][smpl]).square().mean(),
        "betas": (pred.params.betas[smpl] - batch["betas"][smpl]).square().mean(),
        "prototype": torch.nn.functional.cross_entropy(scores[smpl], batch["prototype"][smpl]),
        "vertices": (vertices[smpl] - true_vertices[smpl]).abs().mean(),
    }
    return {"loss": _weighted(terms, options.loss), **terms}


def _weighted(terms: dict[str, Tensor], w: LossWeights) -> Tensor:
    """Return the sum of the terms; SPIN's weight of the vertices is 0."""
    names = ("keypoints_3d", "keypoints_2d", "pose", "betas")
    regression = sum(getattr(w, name) * terms[name] for name in names)
    return (
        w.regression_scale * regression + w.prototype * terms["prototype"] + 0 * terms["vertices"]
    )


def _points_loss(points: Tensor, true: Tensor) -> Tensor:
    return (true[..., 2:] * (points - true[..., :2]).square()).mean()


def _bones_loss(joints: Tensor, true: Tensor) -> Tensor:
    """Return the loss of joints about the middle of the hips."""
    hips = list(J24_HIPS)
    joints = joints - joints[:, hips].mean(1, keepdim=True)
    bones = true[..., :3] - true[:, hips, :3].mean(1, keepdim=True)
    return (true[..., 3:] * (joints - bones).square()).mean()
