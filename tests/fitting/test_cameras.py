"""Cameras: pixels with and without distortion, and the files of calibrations."""

import numpy as np
import pytest
import torch
from fitted import four_cameras

from pmnet.body.rotations import rotmat_to_rotvec
from pmnet.core.errors import InputError
from pmnet.fitting.cameras import Cameras, read_cameras

BENT = (-0.05, 0.14, 0.0006, -0.0007, 0.01)


def somewhere(frames: int = 3) -> torch.Tensor:
    return 0.8 * torch.randn(frames, 5, 3, generator=torch.Generator().manual_seed(0)).double()


def test_distortion_is_undone():
    bent, plain = four_cameras(BENT), four_cameras()
    seen, expected = bent.pixels(somewhere()), plain.pixels(somewhere())
    assert (seen - expected).norm(dim=3).max() > 2
    assert torch.allclose(bent.undistorted(seen), expected, atol=1e-5)
    assert torch.equal(plain.undistorted(seen), seen)


def test_pixels_are_those_of_the_projection():
    cameras, points = four_cameras(), somewhere()
    whole = torch.cat([points, torch.ones_like(points[..., :1])], 2)
    seen = torch.einsum("vij,bmj->bvmi", cameras.projections, whole)
    assert torch.allclose(cameras.pixels(points), seen[..., :2] / seen[..., 2:])
    behind = cameras.pixels(torch.tensor([[[0.0, 0.0, 9.0]]], dtype=torch.float64))
    assert behind[0, 0].isnan().all() and behind[0, 2].isfinite().all()


def as_toml(cameras: Cameras, **changed: str) -> str:
    """Return a file as Pose2Sim writes it."""
    lines = []
    for number, name in enumerate(cameras.names):
        turn = rotmat_to_rotvec(cameras.rotations[number])
        values = {
            "name": f'"{name}"',
            "size": "[ 1000.0, 1000.0]",
            "matrix": str(cameras.inside[number].tolist()),
            "distortions": str(cameras.distortion[number, :4].tolist()),
            "rotation": str(turn.tolist()),
            "translation": str(cameras.translations[number].tolist()),
            "fisheye": "false",
        } | (changed if number == 1 else {})
        lines += [f"[{name}]"] + [f"{key} = {value}" for key, value in values.items() if value]
    return "\n".join([*lines, "[metadata]", "adjusted = false", "error = 0.0", ""])


def test_both_files_give_the_cameras_back(tmp_path):
    cameras = four_cameras((*BENT[:4], 0.0))
    (tmp_path / "Calib_scene.toml").write_text(as_toml(cameras))
    parts = {"K": cameras.inside, "R": cameras.rotations, "t": cameras.translations}
    np.savez(
        tmp_path / "own.npz",
        names=np.array(cameras.names),
        distortion=cameras.distortion[:, :4].numpy(),
        **{key: value.numpy() for key, value in parts.items()},
    )
    for name in ("Calib_scene.toml", "own.npz"):
        read = read_cameras(tmp_path / name)
        assert read.names == cameras.names
        assert torch.allclose(read.pixels(somewhere()), cameras.pixels(somewhere()), atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fisheye": "true"}, r"cam02\.fisheye is true"),
        ({"rotation": "[0.0, 1.0]"}, r"'cam02\.rotation' is float64 of shape \(2,\)"),
        ({"rotation": "[nan, 0.0, 0.0]"}, r"'R' row 1 is NaN"),
        ({"matrix": "[[0.0, 0.0, 5.0], [0.0, 9.0, 5.0], [0.0, 0.0, 1.0]]"}, "camera cam02: its"),
        ({"matrix": "[[1.0], [0.0, 9.0, 5.0]]"}, "camera cam02: its numbers have no regular shape"),
        ({"translation": ""}, r"key 'cam02\.translation' is missing"),
        ({"distortions": "[0.0]"}, r"cam02\.distortions: expected k1, k2, p1, p2"),
        ({"name": '"cam01"'}, "two cameras have one name"),
        ({"size": "[ 1"}, "not readable TOML"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path, changed, message):
    path = tmp_path / "Calib.toml"
    path.write_text(as_toml(four_cameras(), **changed))
    with pytest.raises(InputError, match=rf"Calib\.toml: .*{message}"):
        read_cameras(path)


def test_other_wrong_files_are_refused(tmp_path):
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(InputError, match="no table has a `matrix`"):
        read_cameras(tmp_path / "empty.toml")
    with pytest.raises(InputError, match="no such file"):
        read_cameras(tmp_path / "gone.toml")
    turned = four_cameras()
    parts = {"K": turned.inside, "R": 2 * turned.rotations, "t": turned.translations}
    np.savez(tmp_path / "own.npz", **{key: value.numpy() for key, value in parts.items()})
    with pytest.raises(InputError, match=r"camera camera_0: R is no rotation"):
        read_cameras(tmp_path / "own.npz")
