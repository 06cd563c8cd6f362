"""Squared lengths of bodies, of which few points are made."""

import pytest
import torch
from bodies import random_bodies

from pmnet.body import BodyModel
from pmnet.body.lengths import FIELDS, SquaredLengths, rigid
from pmnet.body.parts import vertex_weights
from pmnet.body.skinning import VertexBlocks

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
HANDS = dict.fromkeys(PAPER, 0.0) | {"hand": 2.0}


@pytest.mark.parametrize(("weights", "step"), [(PAPER, 1), (HANDS, 1), (HANDS, 40)])
@pytest.mark.parametrize("around", ["their mean", "anywhere"])
def test_lengths_are_those_of_all_vertices(body: BodyModel, weights, step, around):
    by_vertex, params = vertex_weights(body.parts, weights), random_bodies(40, 5, 0.8, 2.0)
    by_vertex[torch.arange(6890) % step != 0] = 0  # some vertices are left out
    points = body.double_precision().vertices_by_axis(params.to(torch.float64)) * by_vertex
    generator = torch.Generator().manual_seed(0)
    anywhere = torch.randn(points.shape[1:], generator=generator).double() * by_vertex
    origin = points.mean(0) if around == "their mean" else anywhere
    expected = (points - origin).square().sum((1, 2))
    squared = SquaredLengths(VertexBlocks(body, by_vertex), origin)(params)
    assert squared.dtype == torch.float32
    torch.testing.assert_close(squared.double(), expected, rtol=2e-6, atol=0)


def test_rigid_parts_are_a_few_points(body: BodyModel):
    lengths = SquaredLengths(VertexBlocks(body, torch.ones(6890)), torch.zeros(3, 6890).double())
    single = rigid(body, torch.ones(6890) > 0).sum(0)
    assert single.sum() > 2000
    made = sum(block.skinning.shape[1] for block in lengths.blocks)
    assert made == 6890 - single.sum() + FIELDS * (single > 0).sum()


def test_no_bodies_have_no_lengths(body: BodyModel):
    lengths = SquaredLengths(VertexBlocks(body, torch.ones(6890)), torch.zeros(3, 6890).double())
    assert lengths(random_bodies(0)).shape == (0,)
