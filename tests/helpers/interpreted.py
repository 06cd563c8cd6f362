"""The kernels of a GPU, interpreted on the CPU: the same numbers as operations of torch.

Triton has to know that it interprets before it is imported: `test_kernels.py` runs this file in a process
of its own.
"""

import pytest
import torch
from bodies import embedding, mirrored, random_bodies

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.lengths import SquaredLengths
from pmnet.body.parts import vertex_weights
from pmnet.body.rotations import mean_rotation, moments_of_rotmats, unitquat_to_rotmat
from pmnet.body.skinning import VertexBlocks
from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.bounds import Bounds
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.exact.embedding import ParameterEmbedding, embedding_of
from pmnet.clustering.exact.half_precision import HalfCentreBounds, bodies_in_halves, scale_of
from pmnet.clustering.reference import nearest_points
from pmnet.clustering.sums import Sums, shifted
from pmnet.memory.spaces import ParameterSpace, VertexSpace

FEET = {"limb": 0.0, "torso": 0.0, "foot": 2.0, "head": 0.0, "hand": 0.0}


def few_weights(body: BodyModel) -> torch.Tensor:
    """Return weights of some vertices of the feet: kernels that are interpreted are slow."""
    weights = vertex_weights(body.parts, FEET)
    weights[torch.arange(len(weights)) % 9 != 0] = 0
    return weights


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Run no kernel until a test says so."""
    monkeypatch.delenv("TRITON_INTERPRET")


@pytest.fixture
def interpreted(plain, monkeypatch):
    """Run kernels from the beginning."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")


def test_vertices_and_their_squares(body: BodyModel, monkeypatch):
    weights, params = few_weights(body), random_bodies(19, 3, 0.8)
    plain = VertexBlocks(body, weights)
    origin = plain.points(params).double().mean(0)
    expected, squared = plain.packed(params), SquaredLengths(plain, origin)(params)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    fused = VertexBlocks(body, weights)
    torch.testing.assert_close(fused.packed(params), expected, atol=4e-6, rtol=0)
    lengths = SquaredLengths(fused, origin)
    torch.testing.assert_close(lengths(params), squared, atol=0, rtol=1e-5)
    double = VertexBlocks(body.double_precision(), weights.double())
    exact = double.packed(params.to(torch.float64))
    torch.testing.assert_close(exact, expected.double(), atol=4e-6, rtol=0)
    points = fused.points(params)
    expected = body.vertices_by_axis(params) * weights
    torch.testing.assert_close(points, expected, atol=4e-6, rtol=0)


def test_mean_rotations(interpreted):
    from pmnet.memory.kernels import mean_rotations

    groups = random_bodies(60, 1, 0.6).rotmats[:, :6].double().view(4, 15, 6, 3, 3).mean(1)
    means = groups.reshape(-1, 3, 3)
    expected = unitquat_to_rotmat(mean_rotation(moments_of_rotmats(means))).float()
    torch.testing.assert_close(mean_rotations(means.view(-1, 9)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("k", [1, 64, 130])
@pytest.mark.parametrize("length", [1.0, 60.0, 1e5])
def test_bounds_in_half_precision_hold(interpreted, k, length):
    # points of 150 coordinates, of which the last do not fit; one is far out, one centre is a copy
    generator = torch.Generator().manual_seed(0)
    spread = length * 0.9 ** torch.arange(150)
    x = torch.randn(300, 150, generator=generator) * spread
    x[7] *= 1000
    c = torch.cat([x[:1], torch.randn(k - 1, 150, generator=generator) * spread])
    b, of_centres = (
        Bounds(0.01 * p.norm(dim=1), 1e-5 * p.norm(dim=1), p.square().sum(1)) for p in (x, c)
    )
    scale = scale_of(b)
    found = HalfCentreBounds(c, of_centres, scale).nearest(bodies_in_halves(x, b, scale))
    gaps = (x.double()[:, None] - c.double()[None]).square().sum(2) - x.double().square().sum(1)[
        :, None
    ]
    # what is left out may add this much to a score, and to the others
    slack = 2 * b.residual[:, None].double() * of_centres.residual[None].double()
    own = gaps.gather(1, found.centre[:, None])[:, 0]
    rest = slack.gather(1, found.centre[:, None])[:, 0]
    assert found.centre.max() < k
    inside = found.low.double() + found.width.double() >= own + rest
    assert (inside | ~found.is_decided).all() and (
        (found.low <= own - rest) | ~found.is_decided
    ).all()
    others = (gaps - slack).scatter(1, found.centre[:, None], torch.inf)
    assert (others.amin(1)[found.is_decided] > (own + rest)[found.is_decided]).all()
    assert not found.is_decided[7]
    assert found.is_decided.double().mean() > 0.5


def test_a_centre_that_half_precision_cannot_hold_leaves_all_open(interpreted):
    x, c = torch.randn(20, 5), torch.randn(3, 5)
    c[1] *= 1e5
    b, of_centres = (
        Bounds(torch.zeros(len(p)), torch.zeros(len(p)), p.square().sum(1)) for p in (x, c)
    )
    found = HalfCentreBounds(c, of_centres, 8.0).nearest(bodies_in_halves(x, b, 8.0))
    assert not found.is_decided.any()


@pytest.mark.parametrize("name", ["vertex", "parameter"])
def test_assignments_are_those_of_brute_force(body: BodyModel, monkeypatch, name):
    weights = few_weights(body)
    some = random_bodies(20, 2)
    params = BodyParams.cat([some, mirrored(some), some[slice(0, 5)]])
    centres = params[torch.tensor([0, 20, 1, 21, 40, 5, 25, 7, 2, 0])]
    plain = VertexSpace(body, weights) if name == "vertex" else ParameterSpace()
    found = embedding_of(plain, some)  # learnt without kernels, from hundreds of bodies
    x, c = plain.exact(params), plain.exact(centres)
    expected, least = nearest_points(x, c)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    if name == "vertex":
        fused = VertexSpace(body, weights)
        found.space = fused
        found._squared_lengths = SquaredLengths(fused.blocks, found.projection.origin)
    points = embed_bodies(found, params, 1.0)
    for tolerance in (0.05,) if name == "vertex" else (0.05, 2e-3):
        labels, between = assign(points, centres, tolerance)
        assert torch.equal(labels, expected)
        assert ((between - least).abs() <= tolerance * least + 1e-3).all()


def test_sums_of_who_moved(monkeypatch):
    params, generator = random_bodies(37, 4, 0.8), torch.Generator().manual_seed(0)
    places = [torch.randint(0, 5, (37,), generator=generator) for _ in range(2)]
    places[1][::2] = places[0][::2]
    found = []
    for kernels in (False, True):
        if kernels:
            monkeypatch.setenv("TRITON_INTERPRET", "1")
        points = embed_bodies(embedding(ParameterSpace()), params, 1.0)
        sums = Sums(points, 5)
        moved = [sums.move(labels) for labels in places]
        found.append((moved, sums.total))
    assert found[0][0] == found[1][0] and torch.equal(found[0][1], found[1][1])
    # betas are large, and no multiple of the unit
    space = VertexSpace(BodyModel.load(OPEN_BODY), torch.zeros(6890))
    monkeypatch.delenv("TRITON_INTERPRET")
    numbers = ParameterEmbedding(ParameterSpace())
    points = embed_bodies(numbers, params, 1.0)
    numbers.space = space  # whose statistics are summed
    expected = Sums(points, 5)
    expected.move(places[0])
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    total = shifted(
        points, torch.zeros_like(expected.total), torch.full_like(places[0], -1), places[0]
    )
    assert torch.equal(total, expected.total)
