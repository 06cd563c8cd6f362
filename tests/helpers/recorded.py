"""Recordings of markers and joints on disk, of people who stand: what the tests of fitting files read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fitted import LABELS, one_shape, poses, worn

from pmnet.body import BodyParams
from pmnet.body.rotations import rotvec_to_rotmat

AXES = {  # what turns y up into this axis up
    "y": [0.0, 0.0, 0.0],
    "z": [np.pi / 2, 0.0, 0.0],
    "x": [0.0, 0.0, -np.pi / 2],
    "-y": [np.pi, 0.0, 0.0],
}


def standing(frames: int = 8) -> BodyParams:
    """Return people of one shape who stand with y up and lift an arm."""
    truth = one_shape(poses(frames, seed=2))
    turns = torch.zeros(frames, 24, 3)
    turns[:, 16, 2] = torch.linspace(-1, 0.5, frames)
    turns[:, 4, 0] = 0.4
    return BodyParams(rotvec_to_rotmat(turns), truth.betas)


def scene(up: str = "z", frames: int = 8) -> tuple[BodyParams, np.ndarray]:
    """Return people and the markers (m) that they wear, with this axis up."""
    truth = standing(frames)
    rotmats = truth.rotmats.clone()
    rotmats[:, 0] = rotvec_to_rotmat(torch.tensor(AXES[up]).float()) @ rotmats[:, 0]
    turned = BodyParams(rotmats, truth.betas)
    return turned, (worn(turned) + 0.5).double().numpy()


def write_npz(path: Path, points: np.ndarray, **changed) -> None:
    values = {"markers": points, "labels": np.array(LABELS), "mocap_framerate": 60.0}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{k: v for k, v in {**values, **changed}.items() if v is not None})


def write_trc(path: Path, points: np.ndarray, unit: str = "mm", rate: str = "100") -> None:
    names = "\t".join(f"{label}\t\t" for label in LABELS)
    axes = "\t".join(f"{a}{i + 1}" for i in range(len(LABELS)) for a in "XYZ")
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits",
        f"{rate}\t{rate}\t{len(points)}\t{len(LABELS)}\t{unit}",
        f"Frame#\tTime\t{names}",
        f"\t\t{axes}",
        "",
    ]
    rows = [
        "\t".join(
            [str(i + 1), f"{i / 100}", *("" if np.isnan(x) else f"{x:.4f}" for x in row.ravel())]
        )
        for i, row in enumerate(points)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *rows]) + "\n")


def write_c3d(path: Path, points: np.ndarray, unit: str = "mm", prefix: str = "") -> None:
    ezc3d = pytest.importorskip("ezc3d", reason="needs ezc3d: pip install -e '.[dev]'")
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [120]
    file["parameters"]["POINT"]["LABELS"]["value"] = [f"{prefix}{label}" for label in LABELS]
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    four = np.ones((4, points.shape[1], len(points)))
    four[:3] = points.transpose(2, 1, 0)
    file["data"]["points"] = four
    path.parent.mkdir(parents=True, exist_ok=True)
    file.write(str(path))


def write_csv(path: Path, names: Sequence[str], points: np.ndarray, rate: float = 30.0) -> None:
    """Write joints (T, J, 3) as a table; NaN are empty fields."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = ",".join(["time", *(f"{name}_{axis}" for name in names for axis in "xyz")])
    rows = [
        ",".join([f"{i / rate:.6f}", *("" if np.isnan(x) else f"{x:.5f}" for x in row.ravel())])
        for i, row in enumerate(points)
    ]
    path.write_text("\n".join([head, *rows]) + "\n")
