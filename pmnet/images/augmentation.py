"""Random changes of training images, on the device, with all labels following (SPIN's augmentation).

The image is mirrored, then turned and scaled about the centre of the crop, then shifted; its channels
are brightened each by itself. Crop coordinates have y down, so a turn by a positive angle is clockwise
and the same about the camera's z axis: 2D and 3D keypoints and the global orientation turn alike.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from pmnet.body import BodyParams
from pmnet.body.keypoints import MIRRORED_J24
from pmnet.body.parts import MIRRORED_JOINTS, mirror_rotmats
from pmnet.body.rotations import axis_rotation
from pmnet.images.file import centre


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image (SPIN's; 0 everywhere changes nothing).

    `flip` is the share that is mirrored, `rotation_share` the share that is turned, by a normal angle
    with standard deviation `rotation_deg`. The others are the largest change: of the box's width by
    `scale` (normal, cut off there), of its place by `shift`, of each channel by `gain` (uniform).
    """

    flip: float
    rotation_deg: float
    rotation_share: float
    scale: float
    shift: float
    gain: float


MIRRORED: Final[Mapping[str, tuple[int, ...]]] = {"smpl24": MIRRORED_JOINTS, "j24": MIRRORED_J24}
SPREADS: Final = 2.0  # SPIN: a turn is within two standard deviations


@dataclass(frozen=True)
class Labels:
    """What is known of the people in a batch of images, and moves with them.

    `keypoints_2d` are crop coordinates with confidence, `keypoints_3d` metres in the camera frame.
    """

    params: BodyParams
    keypoints_2d: Float[Tensor, "b 24 3"]
    keypoints_3d: Float[Tensor, "b 24 4"]


@dataclass(frozen=True)
class Moves:
    """How each image of a batch moves: p -> scale R (mirror p) + shift in crop coordinates."""

    mirror: Bool[Tensor, "b"]
    angle: Float[Tensor, "b"]
    scale: Float[Tensor, "b"]
    shift: Float[Tensor, "b 2"]

    def rotation(self) -> Float[Tensor, "b 3 3"]:
        """Return the turns about the camera's z axis."""
        return axis_rotation(2, self.angle)

    def flat(self) -> Float[Tensor, "b 2 2"]:
        """Return the linear part of the moves."""
        return self.scale[:, None, None] * self.rotation()[:, :2, :2] * self._signs()[:, None, :2]

    def _signs(self) -> Float[Tensor, "b 3"]:
        """Return the diagonal of the mirror: -1, 1, 1 where x is mirrored."""
        signs = torch.ones(len(self.angle), 3, device=self.angle.device)
        signs[:, 0] = torch.where(self.mirror, -1.0, 1.0)
        return signs

    def images(self, images: Float[Tensor, "b 3 s s"], size_px: int) -> Float[Tensor, "b 3 t t"]:
        """Return images with context moved and cut to `size_px`; their edge is continued."""
        inverse = self.flat().mT / self.scale[:, None, None] ** 2
        offset = -(inverse @ self.shift[..., None])
        context = images.shape[-1] / size_px
        shape = [len(images), 3, size_px, size_px]
        grid = affine_grid(torch.cat([inverse, offset], 2) / context, shape, align_corners=False)
        return grid_sample(images, grid, padding_mode="border", align_corners=False)

    def labels(self, labels: Labels, joints: Literal["smpl24", "j24"]) -> Labels:
        """Return the labels of the moved images; a mirrored person's left is its right."""
        signs, rotation = self._signs(), self.rotation()
        rotmats = labels.params.rotmats
        pose = torch.where(self.mirror[:, None, None, None], mirror_rotmats(rotmats), rotmats)
        pose = torch.cat([rotation[:, None] @ pose[:, :1], pose[:, 1:]], 1)
        points, bones = (
            self._swap(keypoints, MIRRORED[joints])
            for keypoints in (labels.keypoints_2d, labels.keypoints_3d)
        )
        flat = points[..., :2] @ self.flat().mT + self.shift[:, None]
        solid = (bones[..., :3] * signs[:, None]) @ rotation.mT
        return Labels(
            BodyParams(pose, labels.params.betas),
            torch.cat([flat, points[..., 2:]], 2),
            torch.cat([solid, bones[..., 3:]], 2),
        )

    def _swap(self, values: Float[Tensor, "b 24 *n"], order: tuple[int, ...]) -> Tensor:
        mirror = self.mirror.view(-1, *[1] * (values.ndim - 1))
        swapped = torch.stack([values[:, joint] for joint in order], 1)
        return torch.where(mirror, swapped, values)


@dataclass(frozen=True)
class Draws:
    """The random numbers of a batch: `uniform` from -1 to 1, `normal`, and `turned` from 0 to 1."""

    uniform: Float[Tensor, "b 6"]
    normal: Float[Tensor, "b 2"]
    turned: Float[Tensor, "b"]


def draw(size: int, generator: torch.Generator) -> Draws:
    """Return the random numbers of a batch, drawn on the CPU: they do not depend on the device."""
    uniform = torch.rand(size, 6, generator=generator) * 2 - 1
    normal = torch.randn(size, 2, generator=generator)
    return Draws(uniform, normal, torch.rand(size, generator=generator))


def augment(
    images: Float[Tensor, "b 3 s s"],
    labels: Labels,
    joints: Literal["smpl24", "j24"],
    size_px: int,
    options: Augmentation,
    draws: Draws,
) -> tuple[Float[Tensor, "b 3 {size_px} {size_px}"], Labels]:
    """Return images (0 to 1) of `size_px` with their labels, moved and tinted at random.

    `images` show a context around the box where they are larger than `size_px`: what a move brings into
    the crop is seen. Unlike in SPIN, a bright channel is not cut off at 1.
    """
    if moves_images(options):
        moves = moves_of(draws, options)
        images, labels = moves.images(images, size_px), moves.labels(labels, joints)
    else:
        images = centre(images, size_px)
    return images * (1 + options.gain * draws.uniform[:, 3:, None, None]), labels


def moves_images(options: Augmentation) -> bool:
    """Return whether anything but the colour changes."""
    return bool(options.scale or options.shift) or changes_bodies(options)


def changes_bodies(options: Augmentation) -> bool:
    """Return whether people are mirrored or turned, and with them what the nearest prototype is."""
    return bool(options.flip or (options.rotation_share and options.rotation_deg))


def moves_of(draws: Draws, options: Augmentation) -> Moves:
    """Return random moves.

    SPIN: the width of the box is multiplied by 1 + N(0, `scale`), within 1 +- `scale`; the share
    `rotation_share` is turned by N(0, `rotation_deg`), within twice that.
    """
    width, turn = draws.normal.unbind(1)
    angle = math.radians(options.rotation_deg) * turn.clamp(-SPREADS, SPREADS)
    return Moves(
        mirror=(draws.uniform[:, 0] + 1) / 2 < options.flip,
        angle=torch.where(draws.turned < options.rotation_share, angle, 0.0),
        scale=1 / (1 + options.scale * width.clamp(-1, 1)),
        shift=options.shift * draws.uniform[:, 1:3],
    )
