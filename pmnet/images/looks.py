"""The looks of rendered images, apart from the bodies: clothes, light and backgrounds.

Each split has looks of its own: other backgrounds, other colours of clothes, light from other directions.
So no test image wears the clothes of a training image or stands before its background.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from pmnet.data.sets import Split

SKIN_TONE: Final = (0.95, 0.76, 0.64)
# skin, shirt, trousers, shoes, hair: the colours without variety
PLAIN_PALETTE: Final = (
    SKIN_TONE,
    (0.8, 0.25, 0.2),
    (0.2, 0.3, 0.6),
    (0.9, 0.8, 0.2),
    (0.2, 0.1, 0.05),
)
PLAIN_BACKGROUND: Final = 0.55
BACKGROUNDS: Final = 64
BACKGROUND_SATURATION: Final = 0.4
# splits with the same number share their looks
SHARE: Final[dict[Split, int]] = {"train": 0, "preview": 0, "validation": 1, "test": 2}
SHARES: Final = 3
CELLS: Final = 6  # along each side of the cube of colours: a cell is of one share
SECTORS: Final = 24  # of the directions of light around the axis of view: a sector is of one share
SEEDS_APART: Final = 1_000_003


@dataclass(frozen=True)
class Looks:
    """The looks of N images, apart from the bodies: all random choices of the renderer."""

    palette: Float[Tensor, "n 5 3"]
    light: Float[Tensor, "n 3"]
    ambient: Float[Tensor, "n 1"]
    light_colour: Float[Tensor, "n 3"]
    background: Int[Tensor, "n"]
    offset: Float[Tensor, "n 2"]
    tint: Float[Tensor, "n 3"]

    def __getitem__(self, rows: slice) -> "Looks":
        return Looks(*(value[rows] for value in vars(self).values()))

    def to(self, device: torch.device) -> "Looks":
        """Return a copy on another device."""
        return Looks(*(value.to(device) for value in vars(self).values()))


def seed_of(seed: int, split: Split) -> int:
    """Return the seed from which a split's looks and backgrounds are drawn."""
    return seed + SHARE[split] * SEEDS_APART


def draw_looks(
    n: int, variety: float, skin_share: float, generator: torch.Generator, split: Split = "train"
) -> Looks:
    """Return random looks of `n` images of a split.

    `variety` goes from 0, all dressed alike, to 1, any colours; a share `skin_share` wears no clothes.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    palette = _colours_of(uniform(5, 3), SHARE[split])
    skin = torch.tensor(SKIN_TONE) * (0.35 + 0.65 * uniform(1))
    palette[:, 0] = skin
    palette[:, 4] *= 0.4
    palette = torch.tensor(PLAIN_PALETTE).lerp(palette, variety)
    bare = uniform() < skin_share
    palette[bare] = skin[bare, None].expand(-1, 5, -1)
    towards_camera = torch.tensor([0.0, -0.6, -1.2])
    light = torch.randn(n, 3, generator=generator) + towards_camera
    return Looks(
        palette=palette,
        light=_directions_of(normalize(light, dim=1), SHARE[split]),
        ambient=0.2 + 0.35 * uniform(1),
        light_colour=0.7 + 0.6 * uniform(3),
        background=torch.randint(BACKGROUNDS, (n,), generator=generator),
        offset=uniform(2),
        tint=0.7 + 0.4 * uniform(3),
    )


def _colours_of(colours: Float[Tensor, "n 5 3"], share: int) -> Float[Tensor, "n 5 3"]:
    """Move uniform colours into the cells of one share: those whose indices add up to it, modulo SHARES."""
    red, green, blue = (colours * CELLS).unbind(-1)
    others = red.floor() + green.floor()
    cell = (share - others) % SHARES + SHARES * (blue / SHARES).floor()
    return torch.stack([red, green, cell + blue % 1], -1) / CELLS


def _directions_of(directions: Float[Tensor, "n 3"], share: int) -> Float[Tensor, "n 3"]:
    """Turn directions about the axis of view into the sectors of one share, by 30 degrees at most."""
    x, y, z = directions.unbind(1)
    turns = torch.atan2(y, x) / (2 * math.pi) * SECTORS
    sector = SHARES * (turns / SHARES).floor() + share
    angle = (sector + turns % 1) * (2 * math.pi / SECTORS)
    flat = torch.hypot(x, y)
    return torch.stack([flat * angle.cos(), flat * angle.sin(), z], 1)


def draw_backgrounds(
    n: int, side: int, variety: float, generator: torch.Generator
) -> UInt8[Tensor, "n 3 s s"]:
    """Return random backgrounds: smooth noise at four scales and a few boxes.

    `variety` goes from 0, plain grey, to 1.
    """
    if not variety:
        grey = torch.tensor(int(PLAIN_BACKGROUND * 255), dtype=torch.uint8)
        return grey.expand(n, 3, side, side)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    clouds = torch.zeros(n, 3, side, side)
    for cells, strength in ((2, 1.0), (5, 0.6), (13, 0.35), (37, 0.2)):
        noise = uniform(3, cells, cells) - 0.5
        clouds += strength * interpolate(noise, size=(side, side), mode="bicubic")
    images = uniform(3, 1, 1) + 0.9 * uniform(1, 1, 1) * clouds
    axis = torch.linspace(0, 1, side)
    for _ in range(4):
        y, x, half_height, half_width = uniform(4, 1, 1).unbind(1)
        colour = uniform(3, 1, 1)
        boxed = (axis[None, :, None] - y).abs() < 0.05 + 0.25 * half_height
        boxed = boxed & ((axis[None, None, :] - x).abs() < 0.05 + 0.25 * half_width)
        images = torch.where(boxed[:, None], 0.65 * colour + 0.35 * images, images)
    images = images.mean(1, keepdim=True).lerp(images, BACKGROUND_SATURATION)
    images = torch.tensor(PLAIN_BACKGROUND).lerp(images, variety)
    return (images.clamp(0, 1) * 255).to(torch.uint8)
