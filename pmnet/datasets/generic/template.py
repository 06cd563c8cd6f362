"""The example that `pmnet template` writes: a data set of two people, as `generic` reads it."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.datasets._shared.units import box_around
from pmnet.datasets.generic.table import write_csv

SIZE_PX, DOT_PX = (640, 480), 4  # of the pictures and of a joint in them
PX_PER_METRE = 200.0
PELVES_PX = np.array([[320.0, 260.0], [180.0, 250.0]])  # in the two images


def write_template(path: Path) -> None:
    """Write an .npz or a .csv of two rows with every key, and the two pictures that they name.

    Pictures that are there are kept. Raises InputError for another ending.
    """
    kind = path.suffix.lower()
    if kind not in (".npz", ".csv"):
        raise InputError(f"{path}: the template is an .npz or a .csv; give it such a name")
    values = example()
    with replacing(path) as partial:
        if kind == ".npz":
            with partial.open("wb") as stream:
                np.savez(stream, **values)  # type: ignore[arg-type]
        else:
            with partial.open("w", encoding="utf-8", newline="") as text:
                write_csv(text, values)
    for name, joints in zip(values["image_name"].tolist(), values["keypoints_2d"], strict=True):
        _draw(path.parent / name, joints[:, :2])


def _draw(path: Path, joints_px: np.ndarray) -> None:
    """Draw the joints of a person as dots, where there is no such picture."""
    if path.exists():
        return
    picture = Image.new("RGB", SIZE_PX, "white")
    pen = ImageDraw.Draw(picture)
    for x, y in joints_px.tolist():
        pen.ellipse((x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX), fill="black")
    with replacing(path) as partial:
        picture.save(partial, "JPEG")


def example() -> dict[str, np.ndarray]:
    """Return two people of the open body, both upright: one with raised, one with lowered arms."""
    poses = torch.zeros(2, 24, 3)
    poses[:, 0, 0] = math.pi
    for side, turn in (("left", 1.0), ("right", -1.0)):
        poses[0, JOINTS.index(f"{side}_shoulder"), 2] = turn * 0.8
        poses[1, JOINTS.index(f"{side}_shoulder"), 2] = -turn * 1.2
    betas = torch.zeros(2, 10)
    betas[1, 0] = 1.0
    body = BodyModel.load(OPEN_BODY)
    joints = body.keypoints(body.vertices(BodyParams.from_rotvecs(poses, betas)))
    metres = joints.double().numpy()
    px = metres[..., :2] * PX_PER_METRE + PELVES_PX[:, None]
    seen = np.ones((*px.shape[:2], 1))
    center, scale = box_around(px, seen[..., 0] > 0)
    return {
        "image_name": np.array(["images/example_1.jpg", "images/example_2.jpg"]),
        "center": center.round(1),
        "scale": scale.round(3),
        "poses": poses.double().numpy().reshape(2, 72).round(4),
        "betas": betas.double().numpy(),
        "has_smpl": np.array([1, 1]),
        "keypoints_2d": np.concatenate([px, seen], 2).round(2),
        "keypoints_3d": np.concatenate([metres, seen], 2).round(4),
        "gender": np.array(["neutral", "neutral"]),
        "subject": np.array(["anna", "ben"]),
        "sequence": np.array(["walk", "walk"]),
    }
