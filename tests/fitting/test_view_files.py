"""Folders of 2D joints: OpenPose's, COCO's and our own files, fitted by the command, and wrong ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fitted import four_cameras, one_shape, poses, prior
from people import open_body
from typer.testing import CliRunner

from pmnet.cli import app
from pmnet.core.errors import InputError
from pmnet.fitting.cameras import Cameras
from pmnet.fitting.detections import BODY_25, COCO_17, read_views
from pmnet.fitting.joint_sets import known_joints, points_of_joints
from pmnet.fitting.options import fit_options
from pmnet.fitting.view_files import fit_folder

FRAMES = 5


def calibration(path: Path, cameras: Cameras) -> None:
    parts = {"K": cameras.inside, "R": cameras.rotations, "t": cameras.translations}
    arrays = {key: value.numpy() for key, value in parts.items()}
    np.savez(path, names=np.array(cameras.names), **arrays)


def seen(names: tuple[str, ...], noise_px: float = 0.0) -> np.ndarray:
    """Return (T, V, M, 3) of people whose first joint is not seen in the first camera."""
    truth = one_shape(poses(FRAMES, seed=5))
    body, lies = open_body(), known_joints(names)
    points = points_of_joints(body, [lies[name] for name in names]).posed(body, truth)
    pixels = four_cameras().pixels(points.double())
    pixels = pixels + noise_px * torch.randn(
        pixels.shape, generator=torch.Generator().manual_seed(0)
    )
    rows = torch.cat([pixels, torch.full_like(pixels[..., :1], 0.9)], 3)
    rows[:, 0, 0] = 0
    return rows.numpy()


def write_openpose(folder: Path, rows: np.ndarray) -> None:
    """Write a folder per camera, with a bystander in each frame, but without the second frame."""
    for view, name in enumerate(four_cameras().names):
        place = folder / "pose" / f"{name}_json"
        place.mkdir(parents=True)
        for frame, body in enumerate(rows[:, view]):
            bystander = np.concatenate([body[:, :2] + 300, 0 * body[:, 2:] + 0.2], 1)
            people = [bystander, body] if frame != 1 else []
            content = {"people": [{"pose_keypoints_2d": p.flatten().tolist()} for p in people]}
            path = place / f"{name}_{frame:06d}.json"
            path.write_text(json.dumps(content))


def test_all_kinds_of_files_say_the_same(tmp_path):
    for kind in ("openpose", "coco", "own"):
        (tmp_path / kind).mkdir()
        calibration(tmp_path / kind / "calibration.npz", four_cameras())
    rows = seen(BODY_25)
    write_openpose(tmp_path / "openpose", rows)
    found = read_views(tmp_path / "openpose")[1]
    assert found.names == BODY_25 and found.rate_hz is None
    kept = [0, 2, 3, 4]
    assert np.allclose(found.pixels[kept], rows[kept, ..., :2])
    assert (found.confidence[1] == 0).all() and (found.confidence[:, 0, 0] == 0).all()

    rows = seen(COCO_17)
    for view, name in enumerate(four_cameras().names):
        records = [
            {"image_id": frame, "score": 1.0, "keypoints": body.flatten().tolist()}
            for frame, body in enumerate(rows[:, view])
        ]
        (tmp_path / "coco" / f"{name}.json").write_text(json.dumps(records))
    np.savez(
        tmp_path / "own" / "keypoints.npz",
        keypoints=rows[:, ::-1],
        names=np.array(COCO_17),
        cameras=np.array(four_cameras().names[::-1]),
        mocap_framerate=np.array(30.0),
    )
    coco, own = (read_views(tmp_path / kind)[1] for kind in ("coco", "own"))
    assert np.allclose(coco.pixels, rows[..., :2]) and np.allclose(own.pixels, rows[..., :2])
    assert own.rate_hz == 30.0 and own.names == coco.names == COCO_17


def test_the_command_fits_a_folder(tmp_path):
    calibration(tmp_path / "calibration.npz", four_cameras())
    write_openpose(tmp_path, seen(BODY_25, 2.0))
    out = tmp_path / "amass.npz"
    base = ["fit", str(tmp_path), "--out", str(out), "--up", "y"]
    done = CliRunner().invoke(app, base)
    assert "do not say the frame rate" in str(done.exception or done.output)
    done = CliRunner().invoke(app, [*base, "--rate", "60"])
    assert done.exit_code == 0, done.output
    assert "px from the pixels (cam01" in done.output and "5 frames, 4 fitted" in done.output
    with np.load(out) as written:
        assert written["reprojection_px"].shape == (FRAMES, 4, 25)
        assert np.nanmean(written["reprojection_px"]) < 4
        assert np.isnan(written["reprojection_px"][1]).all()
        assert written["mocap_framerate"] == 60 and written["poses"].shape == (FRAMES, 156)
        assert written["cameras"].tolist() == list(four_cameras().names)


def broken(path: Path, content: object) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ([], "key 'people' is missing"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "'pose_keypoints_2d' is no list of x, y"),
        ({"people": [{"pose_keypoints_2d": ["a", 2, 3]}]}, "'pose_keypoints_2d' is no list of x"),
        ({"people": [{"pose_keypoints_2d": [1, 2, 3]}]}, "1 joints; expected 17, 18, 25"),
        ({"people": [{"pose_keypoints_2d": [1, 2, 30] * 25}]}, "a confidence is 30; expected"),
    ],
)
def test_wrong_openpose_files_are_refused(tmp_path, content, message):
    calibration(tmp_path / "calibration.npz", four_cameras())
    write_openpose(tmp_path, seen(BODY_25))
    broken(tmp_path / "pose" / "cam03_json" / "cam03_000002.json", content)
    with pytest.raises(InputError, match=message):
        read_views(tmp_path)


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected one calibration .* found none"):
        read_views(tmp_path)
    calibration(tmp_path / "calibration.npz", four_cameras())
    with pytest.raises(InputError, match="camera cam01: expected one folder cam01"):
        read_views(tmp_path)
    write_openpose(tmp_path, seen(BODY_25))
    (tmp_path / "pose" / "cam01_json" / "again_0.json").write_text('{"people": []}')
    with pytest.raises(InputError, match="frame 0 is there twice"):
        read_views(tmp_path)
    (tmp_path / "pose" / "cam01_json" / "again_0.json").rename(tmp_path / "pose" / "cam01.json")
    with pytest.raises(InputError, match=r"camera cam01: .* found cam01\.json, cam01_json"):
        read_views(tmp_path)
    np.savez(tmp_path / "keypoints.npz", keypoints=seen(COCO_17), names=np.array(COCO_17))
    in_mm = four_cameras()
    calibration(
        tmp_path / "calibration.npz", replace(in_mm, translations=1000 * in_mm.translations)
    )
    others, options = poses(200, seed=9), fit_options({}, "test")
    with pytest.raises(InputError, match=r"span .* m; expected a person, .* must be in m"):
        fit_folder(tmp_path, open_body(), prior(), others, options, rate_hz=30.0)
    np.savez(tmp_path / "keypoints.npz", keypoints=np.zeros((2, 4, 17, 3)), names=np.array(COCO_17))
    with pytest.raises(InputError, match="no joint is seen"):
        read_views(tmp_path)


def test_detectors_names_are_known():
    for names in (COCO_17, BODY_25, ("left_thumb", "right_pinky", "left_foot_index")):
        assert list(known_joints(names)) == list(names)
    known = known_joints(("left_thumb", "right_thumb", "right_foot_index"))
    assert list(known.values()) == [
        ("vertex", "lthumb"),
        ("vertex", "rthumb"),
        ("vertex", "RBigToe"),
    ]
