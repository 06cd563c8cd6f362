"""People in scenes, drawn from the open body: what the fixtures of all data sets are made of.

A fixture writes these people in the layout of a data set; what is ingested from it is laid over the
silhouettes of the scenes again, so that orientation, box and joint order are proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.io import write_jpeg, write_png

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.camera import View, fit_camera, project
from pmnet.body.keypoints import J24
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.images.looks import draw_looks
from pmnet.images.render import Renderer, silhouettes

HEIGHT, WIDTH = 256, 320  # px of a scene; people stand in its left square
FAMILIES = {"stand": 4.0, "walk": 3.0, "wave": 2.0, "squat": 1.0, "kick": 1.0, "handstand": 1.0}
VIEW = View(40.0, 0.3, 8.0, 3.0, margin=0.62, margin_spread=0.08, shift=0.2)
BACKGROUNDS = 2  # of the 64 that the renderer would draw, each in 0.05 s
CROP = 128  # px of the crops in which silhouettes are compared


@dataclass(frozen=True)
class People:
    """N scenes with one person each; the camera frame is SPIN's: x right, y down, z away.

    `keypoints_*` are J24, `joints_*` the skeleton's 24; px of the scene, m with SMPL's own origin.
    """

    images: torch.Tensor  # (N, 3, HEIGHT, WIDTH) uint8
    masks: torch.Tensor  # (N, HEIGHT, WIDTH) bool
    params: BodyParams
    poses: np.ndarray  # (N, 72) rotation vectors, rad
    betas: np.ndarray  # (N, 10)
    keypoints_px: np.ndarray  # (N, 24, 2)
    keypoints_m: np.ndarray  # (N, 24, 3)
    joints_px: np.ndarray  # (N, 24, 2)
    joints_m: np.ndarray  # (N, 24, 3)

    def __len__(self) -> int:
        return len(self.betas)

    def joints(self, names: Sequence[str | None], pixels: bool) -> np.ndarray:
        """Return joints by their names in J24, (N, J, 2) px or (N, J, 3) m; None and strangers are 0."""
        source = self.keypoints_px if pixels else self.keypoints_m
        found = np.zeros((len(self), len(names), source.shape[2]))
        for index, name in enumerate(names):
            if name in J24:
                found[:, index] = source[:, J24.index(name)]
        return found

    def select(self, rows: slice) -> "People":
        """Return some of the people."""
        return People(**{name: values[rows] for name, values in vars(self).items()})

    def write(self, row: int, path: Path) -> None:
        """Write a scene as JPEG or PNG, by the name of the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            write_png(self.images[row], str(path))
        else:
            write_jpeg(self.images[row], str(path), quality=95)


@cache
def open_body() -> BodyModel:
    """Return the open body, read once."""
    return BodyModel.load(OPEN_BODY)


@cache
def draw_people(n: int, seed: int = 0, alike: int = 1) -> People:
    """Return `n` people in common and rare poses; each `alike` in a row have one shape."""
    body = open_body()
    options = synthetic.Options(n, FAMILIES, 4.0, 0.8, VIEW, seed)
    samples = synthetic.read("people", Path(), options, body)
    params = BodyParams(
        samples.body_params().rotmats, samples.betas[torch.arange(n) // alike * alike]
    )
    looks = draw_looks(n, 1.0, 0.0, torch.Generator().manual_seed(seed))
    looks = replace(looks, background=looks.background % BACKGROUNDS)
    with mock.patch("pmnet.images.render.BACKGROUNDS", BACKGROUNDS):
        renderer = Renderer(body, HEIGHT, 1, 0.3, seed)
    images = renderer(params, samples.camera, looks)
    right = (0, WIDTH - HEIGHT)
    vertices = body.vertices(params)
    keypoints, joints = body.keypoints(vertices), body.joints(params)

    def px(points: torch.Tensor) -> np.ndarray:
        return ((project(points, samples.camera) * 0.5 + 0.5) * HEIGHT).double().numpy()

    return People(
        images=pad(images, right, value=90),
        masks=pad(silhouettes(body, params, samples.camera, HEIGHT), right),
        params=params,
        poses=torch.cat([samples.global_orient, samples.body_pose], 1).double().numpy(),
        betas=params.betas.double().numpy(),
        keypoints_px=px(keypoints),
        keypoints_m=keypoints.double().numpy(),
        joints_px=px(joints),
        joints_m=joints.double().numpy(),
    )


def side_by_side(left: People, right: People) -> tuple[People, People]:
    """Return people who are two in a scene: each of `right` stands beside one of `left`."""
    images, nobody = torch.cat([left.images, right.images], 3), torch.zeros_like(left.masks)
    moved = [WIDTH, 0]
    return (
        replace(left, images=images, masks=torch.cat([left.masks, nobody], 2)),
        replace(
            right,
            images=images,
            masks=torch.cat([nobody, right.masks], 2),
            keypoints_px=right.keypoints_px + moved,
            joints_px=right.joints_px + moved,
        ),
    )


def overlap(samples: Samples, people: People, rows: Sequence[int]) -> torch.Tensor:
    """Return the intersection over union of each ingested mesh and the person in its image.

    `rows` are the people of the samples, in order. Both are seen in the sample's crop. The camera is
    that which fits the sample's 2D keypoints; without any, the box fits the joints.
    """
    body, params = open_body(), samples.body_params()
    keypoints = body.keypoints(body.vertices(params))
    confident = samples.keypoints_2d[..., 2]
    by_keypoints = fit_camera(keypoints, samples.keypoints_in_crop(), confident)
    by_box = _camera_of_box(keypoints)
    cameras = torch.where((confident > 0).any(1)[:, None], by_keypoints, by_box)
    mesh = silhouettes(body, params, cameras, CROP)
    seen = _crop_masks(people.masks[list(rows)], samples)
    return (mesh & seen).sum((1, 2)) / (mesh | seen).sum((1, 2))


def _camera_of_box(keypoints: torch.Tensor, room: float = 1.2) -> torch.Tensor:
    low, high = keypoints[..., :2].amin(1), keypoints[..., :2].amax(1)
    scale = 2 / room / (high - low).amax(1)
    return torch.cat([scale[:, None], -scale[:, None] * (low + high) / 2], 1)


def _crop_masks(masks: torch.Tensor, samples: Samples) -> torch.Tensor:
    height, width = masks.shape[1:]
    steps = (torch.arange(CROP) + 0.5) / CROP * 2 - 1
    half = samples.scale[:, None] * 100
    x = (samples.center[:, :1] + steps * half).floor().long()
    y = (samples.center[:, 1:] + steps * half).floor().long()
    inside = ((x >= 0) & (x < width))[:, None] & ((y >= 0) & (y < height))[..., None]
    n = torch.arange(len(masks))[:, None, None]
    found = masks[n, y.clamp(0, height - 1)[..., None], x.clamp(0, width - 1)[:, None]]
    return found & inside
