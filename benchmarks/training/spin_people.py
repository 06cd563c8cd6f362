"""People one by one, changed at random on the CPU, for the loop in SPIN's style."""

import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset

from benchmarks.training.world import World
from pmnet.body.keypoints import MIRRORED_J24
from pmnet.body.parts import MIRRORED_JOINTS
from pmnet.model.imagenet import IMAGE_MEAN, IMAGE_STD

MEAN, STD = (np.array(values, np.float32)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
MIRROR_AXES = np.array([1, -1, -1], np.float32)  # of a rotation vector, when x is mirrored


class People(Dataset):
    """One person an item, changed at random on the CPU."""

    def __init__(self, world: World) -> None:
        _, _, data = world.opened()
        self._file, self._size_px, self._options = world.pixels, data.images.size_px, world.train
        targets = data.targets
        self._rotvecs = targets.params.rotvecs().numpy()
        self._betas = targets.params.betas.numpy()
        self._points = targets.keypoints_2d.numpy()
        self._bones = targets.keypoints_3d.numpy()
        self._prototype = targets.prototype.numpy()
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
