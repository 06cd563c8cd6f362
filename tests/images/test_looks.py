"""The looks of rendered images: varied, drawn from the generator alone, and of one split only."""

import math

import pytest
import torch

from pmnet.images.looks import (
    PLAIN_BACKGROUND,
    PLAIN_PALETTE,
    SKIN_TONE,
    draw_backgrounds,
    draw_looks,
    seed_of,
)

SPLITS = ("train", "validation", "test")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_variety_all_are_dressed_alike():
    looks = draw_looks(50, 0.0, 0.0, seeded())
    expected = torch.tensor(PLAIN_PALETTE).expand(50, 5, 3)
    torch.testing.assert_close(looks.palette, expected)
    assert looks.light.norm(dim=1).sub(1).abs().max() < 1e-6
    spread = [draw_looks(200, v, 0.0, seeded()).palette.std(0).mean() for v in (0.0, 0.3, 1.0)]
    assert spread[0] < spread[1] < spread[2]
    grey = draw_backgrounds(3, 20, 0.0, seeded())
    assert grey.unique().tolist() == [int(PLAIN_BACKGROUND * 255)]
    varied = draw_backgrounds(20, 20, 1.0, seeded()).float()
    assert varied.std() > 30 and varied.std((2, 3)).min() > 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_wears_nothing_but_skin(share):
    looks = draw_looks(400, 0.5, share, seeded())
    bare = (looks.palette == looks.palette[:, :1]).all((1, 2))
    assert bare.float().mean().item() == pytest.approx(share, abs=0.07)
    tone = looks.palette[bare] / torch.tensor(SKIN_TONE)
    assert ((tone >= 0.349) & (tone <= 1.001)).all()


def test_looks_come_from_the_generator_alone():
    first, again, other = (draw_looks(5, 0.5, 0.1, seeded(seed)) for seed in (1, 1, 2))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name)), name
        assert not torch.equal(value, getattr(other, name)), name
    assert torch.equal(first[slice(2, 4)].tint, first.tint[2:4])


@pytest.mark.parametrize(("split", "share"), [*zip(SPLITS, range(3), strict=True), ("preview", 0)])
def test_each_split_has_its_own_colours_and_directions(split, share):
    looks = draw_looks(5000, 1.0, 0.0, seeded(), split)
    clothes = looks.palette[:, 1:4].double()  # shirt, trousers, shoes; hair is darker
    assert set(((clothes * 6).floor().sum(-1) % 3).unique().tolist()) == {share}
    assert (
        (looks.palette[:, 4].double() / 0.4 * 6).floor().sum(-1) % 3 == share
    ).float().mean() > 0.99
    assert clothes.mean((0, 1)).sub(0.5).abs().max() < 0.02  # as varied as any colours
    assert clothes.std((0, 1)).sub(12**-0.5).abs().max() < 0.02
    azimuth = torch.atan2(looks.light[:, 1], looks.light[:, 0]).double()
    sector = (azimuth / (2 * math.pi) * 24).floor() % 3
    assert (sector == share).float().mean() > 0.999  # but for rounding at an edge
    assert looks.light.norm(dim=1).sub(1).abs().max() < 1e-5
    assert (
        looks.light[:, 2].mean() < -0.5 and looks.light[:, 1].mean() < -0.2
    )  # from the front and above


def test_each_split_has_its_own_backgrounds():
    made = [draw_backgrounds(4, 16, 1.0, seeded(seed_of(3, split))) for split in SPLITS]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (made[first][:, None] != made[second]).flatten(2).any(-1).all()
    assert seed_of(3, "train") == seed_of(3, "preview") == 3
