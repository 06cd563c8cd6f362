"""Calibrated cameras: pixels of points, pixels without distortion, and the files that hold them.

A camera sees a point x (m, world) at K (R x + t), z away from the camera, after the distortion of its lens
(Brown 1966, coefficients k1, k2, p1, p2, k3 as in OpenCV).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.formats.arrays import array, finite
from pmnet.formats.npz import read_npz

COEFFICIENTS: Final = 5
UNDISTORTING: Final = 8  # steps of Newton's method
ORTHOGONAL: Final = 1e-3  # how far R R^T may be from the identity
NOT_CAMERAS: Final = ("metadata", "capture_volume", "charuco", "checkerboard")  # tables of Pose2Sim
NPZ_KEYS: Final = ("names", "K", "R", "t", "distortion")
LARGEST_TOML: Final = 1_000_000  # bytes


@dataclass(frozen=True)
class Cameras:
    """V cameras: K (px), rotations and translations (m) from the world to the camera, distortion."""

    names: tuple[str, ...]
    inside: Float[Tensor, "v 3 3"]
    rotations: Float[Tensor, "v 3 3"]
    translations: Float[Tensor, "v 3"]
    distortion: Float[Tensor, "v 5"]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | torch.dtype) -> "Cameras":
        """Return a copy on another device or in another precision."""
        numbers = {n: value.to(device) for n, value in vars(self).items() if n != "names"}
        return Cameras(self.names, **numbers)

    @property
    def projections(self) -> Float[Tensor, "v 3 4"]:
        """Return P = K [R | t], which makes pixels without distortion."""
        return self.inside @ torch.cat([self.rotations, self.translations[..., None]], 2)

    def pixels(self, points: Float[Tensor, "b m 3"]) -> Float[Tensor, "b v m 2"]:
        """Return the pixels, with distortion, of points (m); NaN where a point is behind a camera."""
        seen = torch.einsum("vij,bmj->bvmi", self.rotations, points)
        seen = seen + self.translations[:, None]
        depth = seen[..., 2:]
        flat = seen[..., :2] / torch.where(depth > 0, depth, torch.nan)
        return self._to_pixels(self._distorted(flat))

    def undistorted(self, pixels: Float[Tensor, "b v m 2"]) -> Float[Tensor, "b v m 2"]:
        """Return where the pixels would be without distortion, by Newton's method."""
        if not self.distortion.any():
            return pixels
        seen = self._from_pixels(pixels)
        flat = seen
        for _ in range(UNDISTORTING):
            flat = flat - self._step(flat, self._distorted(flat) - seen)
        return self._to_pixels(flat)

    def _distorted(self, flat: Float[Tensor, "b v m 2"]) -> Float[Tensor, "b v m 2"]:
        k1, k2, p1, p2, k3 = self.distortion[:, None].unbind(-1)
        x, y = flat.unbind(-1)
        squared = x * x + y * y
        radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
        both = 2 * x * y
        moved_x = x * radial + p1 * both + p2 * (squared + 2 * x * x)
        moved_y = y * radial + p2 * both + p1 * (squared + 2 * y * y)
        return torch.stack([moved_x, moved_y], -1)

    def _step(
        self, flat: Float[Tensor, "b v m 2"], off: Float[Tensor, "b v m 2"]
    ) -> Float[Tensor, "b v m 2"]:
        """Return the step d with D d = off, where D is the derivative of `_distorted`, which is symmetric."""
        k1, k2, p1, p2, k3 = self.distortion[:, None].unbind(-1)
        x, y = flat.unbind(-1)
        squared = x * x + y * y
        radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
        slope = 2 * (k1 + squared * (2 * k2 + squared * 3 * k3))
        xx = radial + x * x * slope + 2 * p1 * y + 6 * p2 * x
        yy = radial + y * y * slope + 6 * p1 * y + 2 * p2 * x
        xy = x * y * slope + 2 * p1 * x + 2 * p2 * y
        off_x, off_y = off.unbind(-1)
        whole = xx * yy - xy * xy
        return (
            torch.stack([yy * off_x - xy * off_y, xx * off_y - xy * off_x], -1) / whole[..., None]
        )

    def _to_pixels(self, flat: Float[Tensor, "b v m 2"]) -> Float[Tensor, "b v m 2"]:
        return flat @ self.inside[:, :2, :2].mT + self.inside[:, None, :2, 2]

    def _from_pixels(self, pixels: Float[Tensor, "b v m 2"]) -> Float[Tensor, "b v m 2"]:
        return (pixels - self.inside[:, None, :2, 2]) @ torch.linalg.inv(self.inside[:, :2, :2]).mT


def read_cameras(path: Path) -> Cameras:
    """Return the cameras of a calibration file, in float64.

    A `.toml` is Pose2Sim's and Anipose's: a table per camera with `matrix` (3 x 3), `rotation` (rotation
    vector), `translation` (m), and, where a lens distorts, `distortions`. An `.npz` has `K` (V, 3, 3), `R`
    (V, 3, 3), `t` (V, 3) in m, and, where wanted, `distortion` (V, 4 or 5) and `names` (V).
    Raises InputError naming the camera and key at fault.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a calibration, .toml or .npz")
    if path.suffix.lower() == ".toml":
        return _of_toml(path)
    if path.suffix.lower() == ".npz":
        return _of_npz(path)
    raise InputError(f"{path}: expected a calibration that ends in .toml or .npz")


def _of_toml(path: Path) -> Cameras:
    refuse_special(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_TOML + 1)
        if len(content) > LARGEST_TOML:
            raise InputError(f"{path}: larger than {LARGEST_TOML:,} bytes; expected a calibration")
        tables = tomllib.loads(content.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: not readable TOML ({error}); write the calibration anew"
        ) from None
    cameras = {
        name: table
        for name, table in tables.items()
        if isinstance(table, Mapping) and name not in NOT_CAMERAS and "matrix" in table
    }
    if not cameras:
        raise InputError(
            f"{path}: no table has a `matrix`; expected a table per camera with matrix, rotation, "
            "translation, as Pose2Sim's Calib.toml"
        )
    rows = [_row(path, name, table) for name, table in cameras.items()]
    names = tuple(str(table.get("name", name)) for name, table in cameras.items())
    inside, turns, shifts, bends = (np.stack(column) for column in zip(*rows, strict=True))
    turned = rotvec_to_rotmat(torch.from_numpy(turns)).numpy()
    return _checked(path, names, inside, turned, shifts, bends)


def _row(path: Path, name: str, table: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    where = f"{name}."
    if table.get("fisheye"):
        raise InputError(
            f"{path}: {where}fisheye is true; expected cameras of the usual lens model. Undistort the "
            "videos first"
        )
    values = {f"{where}{key}": value for key, value in table.items()}
    bends = values.get(f"{where}distortions", [0.0] * COEFFICIENTS)
    values[f"{where}distortions"] = bends
    lengths = {4, COEFFICIENTS}
    if not isinstance(bends, list) or len(bends) not in lengths:
        raise InputError(
            f"{path}: {where}distortions: expected k1, k2, p1, p2 and, where wanted, k3"
        )
    try:
        return (
            array(path, values, f"{where}matrix", (3, 3)),
            array(path, values, f"{where}rotation", (3,)),
            array(path, values, f"{where}translation", (3,)),
            np.append(array(path, values, f"{where}distortions", (len(bends),)), 0.0)[
                :COEFFICIENTS
            ],
        )
    except InputError:
        raise
    except ValueError:  # lists of different lengths
        raise InputError(f"{path}: camera {name}: its numbers have no regular shape") from None


def _of_npz(path: Path) -> Cameras:
    values = read_npz(path, NPZ_KEYS)
    inside = array(path, values, "K", (None, 3, 3))
    count = len(inside)
    bends = np.zeros((count, COEFFICIENTS))
    if "distortion" in values:
        given = array(path, values, "distortion", (count, None))
        if given.shape[1] not in (4, COEFFICIENTS):
            raise InputError(
                f"{path}: 'distortion' has {given.shape[1]} columns; expected k1, k2, p1, p2 and, where "
                "wanted, k3"
            )
        bends[:, : given.shape[1]] = given
    names = [f"camera_{number}" for number in range(count)]
    if "names" in values:
        names = array(path, values, "names", (count,), "U").tolist()
    turns = array(path, values, "R", (count, 3, 3))
    return _checked(path, tuple(names), inside, turns, array(path, values, "t", (count, 3)), bends)


def _checked(
    path: Path,
    names: tuple[str, ...],
    inside: np.ndarray,
    turns: np.ndarray,
    shifts: np.ndarray,
    bends: np.ndarray,
) -> Cameras:
    if not names:
        raise InputError(f"{path}: holds no camera")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two cameras have one name ({', '.join(names)}); rename one")
    for key, values in {"K": inside, "R": turns, "t": shifts, "distortion": bends}.items():
        finite(path, key, values)
    for name, own, turn in zip(names, inside, turns, strict=True):
        if own[0, 0] <= 0 or own[1, 1] <= 0 or not np.allclose(own[2], (0, 0, 1)):
            raise InputError(
                f"{path}: camera {name}: its matrix has no focal lengths above 0 (px), or does not end in "
                "0, 0, 1"
            )
        off = np.abs(turn @ turn.T - np.eye(3)).max()
        if off > ORTHOGONAL or np.linalg.det(turn) < 0:
            raise InputError(f"{path}: camera {name}: R is no rotation (R R^T is off by {off:.2g})")
    return Cameras(names, *(torch.from_numpy(values) for values in (inside, turns, shifts, bends)))
