"""Pictures of samples to look at before training: the image, its annotated joints, the body over it."""

from typing import Final

import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.camera import fit_camera
from pmnet.body.keypoints import J24
from pmnet.body.parts import JOINTS
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.datasets._shared.units import BOX_MARGIN
from pmnet.images.crops import AS_STORED, Cropper, Reading
from pmnet.images.plain import render_plain
from pmnet.images.render import silhouettes
from pmnet.images.sheet import grid

COLUMNS: Final = 8
OPACITY: Final = 0.65  # of the body over the image
LEFT: Final = (230, 40, 40)  # the left of the person, not of the picture
RIGHT: Final = (40, 90, 230)
MIDDLE: Final = (30, 170, 60)
DOTS_ACROSS: Final = 60  # width of the picture in dots


@torch.no_grad()
def overlay_sheet(
    samples: Samples, body: BodyModel, count: int, size_px: int, reading: Reading = AS_STORED
) -> Figure:
    """Return a figure of `count` samples, spread evenly over the data set.

    Upper rows show the crop with its joints (left red, right blue), lower rows the body over the crop.
    Where there is no image, the crop is grey.
    """
    part = samples.select(evenly(len(samples), count))
    crops = _crops(part, size_px, reading)
    dotted = torch.stack([_dotted(*one) for one in zip(crops, *_points(part), strict=True)])
    dressed = _dressed(crops, part, body)
    cells, titles = [], []
    for start in range(0, len(part), COLUMNS):
        rows = slice(start, start + COLUMNS)
        names = [name.split("/")[-1][-18:] for name in part.image_name[rows]]
        cells += [dotted[rows], dressed[rows]]
        titles += [names, [""] * len(names)]
    return grid(cells, ["joints", "body"] * (len(cells) // 2), titles, size_px)


def _crops(
    samples: Samples, size_px: int, reading: Reading = AS_STORED
) -> UInt8[Tensor, "n 3 s s"]:
    grey = torch.full((len(samples), 3, size_px, size_px), 200, dtype=torch.uint8)
    if samples.about.pixels != "files":
        return grey
    images, missing = Cropper(samples, size_px, 1.0, reading)(slice(0, len(samples)))
    images[list(missing)] = grey[list(missing)]
    return images


def _points(samples: Samples) -> tuple[Float[Tensor, "n 24 2"], Tensor, list[tuple[str, ...]]]:
    names = J24 if samples.about.joints == "j24" else JOINTS
    return samples.keypoints_in_crop(), samples.keypoints_2d[..., 2] > 0, [names] * len(samples)


def _dotted(
    image: UInt8[Tensor, "3 s s"], points: Tensor, seen: Tensor, names: tuple[str, ...]
) -> UInt8[Tensor, "3 s s"]:
    """Return a picture with a dot at each joint that is annotated."""
    image, size = image.clone(), image.shape[-1]
    half = max(1, size // DOTS_ACROSS // 2)
    places = ((points * 0.5 + 0.5) * size).floor().long()
    for (x, y), shown, name in zip(places.tolist(), seen.tolist(), names, strict=True):
        if shown and 0 <= x < size and 0 <= y < size:
            side, *_ = name.split("_")
            colour = {"left": LEFT, "right": RIGHT}.get(side, MIDDLE)
            dot = image[:, max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
            dot[:] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return image


def _dressed(
    crops: UInt8[Tensor, "n 3 s s"], samples: Samples, body: BodyModel
) -> UInt8[Tensor, "n 3 s s"]:
    """Return the pictures with the bodies over them, unchanged where pose or camera are unknown."""
    rows = samples.has_smpl.nonzero()[:, 0]
    cameras = _cameras(samples, body)
    rows = rows[torch.isfinite(cameras[rows]).all(1)]
    pictures = crops.clone()
    if len(rows):
        size, params = crops.shape[-1], samples.body_params(rows)
        drawn = render_plain(body, params, size, cameras=cameras[rows]).float()
        mask = silhouettes(body, params, cameras[rows], size)[:, None].float() * OPACITY
        pictures[rows] = (crops[rows] * (1 - mask) + drawn * mask).to(torch.uint8)
    return pictures


def _cameras(samples: Samples, body: BodyModel) -> Float[Tensor, "n 3"]:
    """Return known cameras, else cameras fitted to the 2D joints, else cameras that fill the box."""
    params = samples.body_params()
    if samples.about.joints == "smpl24":
        joints = body.joints(params)
    else:
        joints = body.keypoints(body.vertices(params))
    confident = samples.keypoints_2d[..., 2]
    by_joints = fit_camera(joints, samples.keypoints_in_crop(), confident)
    low, high = joints[..., :2].amin(1), joints[..., :2].amax(1)
    scale = 2 / BOX_MARGIN / (high - low).amax(1, keepdim=True)
    by_box = torch.cat([scale, -scale * (low + high) / 2], 1)
    known = torch.isfinite(samples.camera).all(1, keepdim=True)
    seen = (confident > 0).sum(1, keepdim=True) > 1
    return torch.where(known, samples.camera, torch.where(seen, by_joints, by_box))
