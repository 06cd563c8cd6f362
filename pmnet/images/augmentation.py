"""Random changes of training images, on the device, with all labels following (SPIN's augmentation).

The image is mirrored, then turned and scaled about the centre of the crop, then shifted; each channel is
brightened on its own. Crop coordinates have y down, so that a positive angle turns clockwise, as it does
about the camera's z axis: 2D and 3D keypoints and the global orientation turn alike.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from pmnet.body import BodyParams
from pmnet.body.keypoints import MIRRORED_J24
from pmnet.body.parts import MIRRORED_JOINTS, mirror_rotmats
from pmnet.body.rotations import axis_rotation
from pmnet.core.ranges import Share
from pmnet.images.file import centre


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image (SPIN's; with all options 0 nothing changes).

    `flip` is the share of mirrored images, `rotation_share` the share of turned images; the angle is
    normal with standard deviation `rotation_deg`. The other options are the largest changes: `scale` of
    the box's width (normal, clipped), `shift` of its place and `gain` of each channel (both uniform).
    `clip` cuts brightened channels at white, as SPIN does. `padding` is what a moved crop shows beyond the
    stored image: its `edge` repeated, or `black`, which is what SPIN has beyond the source image.
    """

    flip: Share
    rotation_deg: Annotated[float, Interval(ge=0.0, le=180.0)]
    rotation_share: Share
    scale: Annotated[float, Interval(ge=0.0, lt=1.0)]
    shift: Share
    gain: Share
    clip: bool
    padding: Literal["edge", "black"]


MIRRORED: Final[Mapping[str, tuple[int, ...]]] = {"smpl24": MIRRORED_JOINTS, "j24": MIRRORED_J24}
MAX_TURN_SDS: Final = 2.0  # SPIN: turns are clipped at two standard deviations


@dataclass(frozen=True)
class Labels:
    """The labels of the people in a batch of images; they move with the images.

    `keypoints_2d` are crop coordinates with confidence, `keypoints_3d` metres in the camera frame.
    """

    params: BodyParams
    keypoints_2d: Float[Tensor, "b 24 3"]
    keypoints_3d: Float[Tensor, "b 24 4"]


@dataclass(frozen=True)
class Moves:
    """The moves of a batch of images: p -> scale R (mirror p) + shift in crop coordinates."""

    mirror: Bool[Tensor, "b"]
    angle: Float[Tensor, "b"]
    scale: Float[Tensor, "b"]
    shift: Float[Tensor, "b 2"]

    def rotation(self) -> Float[Tensor, "b 3 3"]:
        """Return the turns about the camera's z axis."""
        return axis_rotation(2, self.angle)

    def flat(self) -> Float[Tensor, "b 2 2"]:
        """Return the linear part of the moves in the image plane."""
        return self.scale[:, None, None] * self.rotation()[:, :2, :2] * self._signs()[:, None, :2]

    def _signs(self) -> Float[Tensor, "b 3"]:
        """Return the diagonals of the mirrors: (-1, 1, 1) where x is mirrored, else (1, 1, 1)."""
        signs = torch.ones(len(self.angle), 3, device=self.angle.device)
        signs[:, 0] = torch.where(self.mirror, -1.0, 1.0)
        return signs

    def images(
        self, images: Float[Tensor, "b 3 s s"], size_px: int, padding: Literal["edge", "black"]
    ) -> Float[Tensor, "b 3 t t"]:
        """Return the images moved and cropped to `size_px`; `padding` is what lies beyond their context."""
        inverse = self.flat().mT / self.scale[:, None, None] ** 2
        offset = -(inverse @ self.shift[..., None])
        context = images.shape[-1] / size_px
        shape = [len(images), 3, size_px, size_px]
        grid = affine_grid(torch.cat([inverse, offset], 2) / context, shape, align_corners=False)
        beyond = {"edge": "border", "black": "zeros"}[padding]
        return grid_sample(images, grid, padding_mode=beyond, align_corners=False)

    def labels(self, labels: Labels, joints: Literal["smpl24", "j24"]) -> Labels:
        """Return the labels of the moved images; mirroring swaps left and right."""
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
    """Return the random numbers of a batch, drawn on the CPU, so that they do not depend on the device."""
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

    Images larger than `size_px` show context around the box, which a move can bring into the crop.
    """
    if moves_images(options):
        moves = moves_of(draws, options)
        images = moves.images(images, size_px, options.padding)
        labels = moves.labels(labels, joints)
    else:
        images = centre(images, size_px)
    images = images * (1 + options.gain * draws.uniform[:, 3:, None, None])
    return images.clamp_max(1.0) if options.clip else images, labels


def moves_images(options: Augmentation) -> bool:
    """Return whether more than the colours change."""
    return bool(options.scale or options.shift) or changes_bodies(options)


def changes_bodies(options: Augmentation) -> bool:
    """Return whether people are mirrored or turned, which changes their nearest prototype."""
    return bool(options.flip or (options.rotation_share and options.rotation_deg))


def moves_of(draws: Draws, options: Augmentation) -> Moves:
    """Return random moves.

    As in SPIN, the width of the box is multiplied by 1 + N(0, `scale`), clipped to 1 +- `scale`; a share
    `rotation_share` is turned by N(0, `rotation_deg`), clipped at twice `rotation_deg`.
    """
    width, turn = draws.normal.unbind(1)
    angle = math.radians(options.rotation_deg) * turn.clamp(-MAX_TURN_SDS, MAX_TURN_SDS)
    return Moves(
        mirror=(draws.uniform[:, 0] + 1) / 2 < options.flip,
        angle=torch.where(draws.turned < options.rotation_share, angle, 0.0),
        scale=1 / (1 + options.scale * width.clamp(-1, 1)),
        shift=options.shift * draws.uniform[:, 1:3],
    )
