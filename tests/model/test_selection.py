"""Which prototype inference starts from, by each selection."""

import pytest
import torch
from tiny_network import memory_of, network_of

from pmnet.memory.nearest import NearestPrototype, distances_mm
from pmnet.model.network import unpack
from pmnet.model.selection import Selector

SCORES = torch.tensor([[0.1, 3.0, 2.9], [5.0, -1.0, 4.0], [-3.0, -2.0, -1.0]])


@pytest.fixture
def selector(body) -> Selector:
    return Selector(network_of().eval(), memory_of(), body)


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(3, 16, generator=torch.Generator().manual_seed(3))


def test_hard_is_the_prototype_of_the_highest_score(selector, features):
    start, rows = selector.start(features, SCORES, "hard")
    assert rows.tolist() == [1, 0, 2]
    assert torch.equal(start, selector.network.memory[rows])


def test_soft_is_the_mixture(selector, features):
    start, rows = selector.start(features, SCORES, "soft")
    assert rows.tolist() == [1, 0, 2]
    assert torch.equal(start, selector.network.mixture(SCORES))


def test_risk_takes_what_is_near_to_all_that_is_likely(selector, features, body):
    apart = distances_mm(memory_of(), body)
    assert torch.equal(apart, apart.T) and (apart.diagonal() == 0).all() and (apart >= 0).all()
    vertices = body.vertices(memory_of().prototypes)
    hand = (vertices[0] - vertices[2]).norm(dim=1).mean() * 1000
    torch.testing.assert_close(apart[0, 2], hand)
    _, rows = selector.start(features, SCORES, "risk")
    expected = [min(range(3), key=lambda k: float(p @ apart[k])) for p in SCORES.softmax(1)]
    assert rows.tolist() == expected


def test_twice_starts_from_what_is_near_to_the_first_result(selector, features, body):
    _, first = selector.start(features, SCORES, "hard")
    bodies = unpack(selector.network.regress(features, selector.network.memory[first])).params
    _, rows = selector.start(features, SCORES, "twice")
    assert torch.equal(rows, NearestPrototype(memory_of(), body).nearest(bodies))


@pytest.mark.parametrize("selection", ["hard", "soft", "risk", "twice"])
def test_where_there_is_nothing_to_choose_all_start_alike(body, features, selection):
    alone = Selector(network_of(k=1).eval(), memory_of(1), body)
    start, rows = alone.start(features, SCORES[:, :1], selection)
    assert not alone.chooses and rows.tolist() == [0, 0, 0]
    assert torch.equal(start, alone.network.memory.expand(3, -1))


def test_a_network_that_starts_from_the_mean_has_nothing_to_choose(body, features):
    network = network_of()
    network.starts_from_mean = True
    selector = Selector(network, memory_of(), body)
    start, _ = selector.start(features, SCORES, "soft")
    assert not selector.chooses and torch.equal(start, network.mean.expand(3, -1))
    rotmats = unpack(network.mean[None]).params.rotmats
    torch.testing.assert_close(
        rotmats @ rotmats.mT, torch.eye(3).expand_as(rotmats), atol=1e-5, rtol=0
    )
