"""An iteration in padded lists gives the results of one in lists as long as needed."""

import math

import pytest
import torch
from bodies import embedding, random_bodies, twins

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, vertex_weights
from pmnet.body.rotations import axis_rotation
from pmnet.clustering.cuda_iteration import (
    IterationGraph,
    ListLengths,
    PaddedIndices,
    PaddedScatter,
)
from pmnet.clustering.exact.embedded import EmbeddedBodies, embed_bodies
from pmnet.clustering.kmeans import iterate
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import DISTANCE, Sums
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}


@pytest.fixture(autouse=True)
def not_recorded(monkeypatch):
    """Run the work of a graph step by step: a CPU has no CUDA graphs."""
    monkeypatch.setenv("PMNET_GRAPHS", "0")


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    """Return the two kinds of spaces."""
    vertices = VertexSpace(body, vertex_weights(body.parts, PAPER))
    return {"vertex": vertices, "parameter": ParameterSpace()}


def near_ties() -> tuple[BodyParams, BodyParams]:
    """Return bodies, and centres on both sides of some of them at the same distance or nearly."""
    params, elbow = random_bodies(60, 5), JOINTS.index("left_elbow")
    sides = []
    for sign in (-1.0, 1.0):
        side = BodyParams(params.rotmats[:30].clone(), params.betas[:30])
        turn = sign * torch.logspace(-7, -1, 30)
        side.rotmats[:, elbow] = side.rotmats[:, elbow] @ axis_rotation(1, turn)
        sides.append(side)
    return params, BodyParams.cat(sides)


def upside_down() -> tuple[BodyParams, BodyParams]:
    """Return bodies of large betas, also upside down, and ordinary centres."""
    params = random_bodies(80, 3, 1.0, 5.0)
    turned = BodyParams(params.rotmats.clone(), params.betas)
    turned.rotmats[:, 0] = axis_rotation(0, torch.tensor(math.pi)) @ turned.rotmats[:, 0]
    return BodyParams.cat([params, turned]), random_bodies(9, 4)


CASES = {
    "many": lambda: (random_bodies(300, 6), random_bodies(20, 7)),
    "near ties": near_ties,
    "twins": twins,
    "upside down": upside_down,
}


def begun(points: EmbeddedBodies, k: int) -> Sums:
    """Return the sums of bodies that go to the clusters in turn."""
    sums = Sums(points, k)
    sums.move(torch.arange(len(points)) % k)
    return sums


@pytest.mark.parametrize("name", ["vertex", "parameter"])
@pytest.mark.parametrize("case", CASES)
def test_padded_lists_give_the_results_of_lists(spaces, name, case):
    params, centres = CASES[case]()
    points, k = embed_bodies(embedding(spaces[name]), params, 1.0), len(centres)
    expected, found, graph = begun(points, k), begun(points, k), IterationGraph(points, k)
    graph._make(ListLengths(400, 2000, 2000, 400, 600), False)
    for _ in range(3):
        row, after = iterate(points, centres, expected, Shard.whole(len(points)))
        outcome = graph(centres, found)
        assert outcome is not None
        assert torch.equal(found.labels, expected.labels)
        assert torch.equal(found.total, expected.total)
        assert torch.equal(outcome.centres.rotmats, after.rotmats)
        assert (outcome.changed, outcome.empty) == (row.changed, row.empty)
        mean = outcome.distance / DISTANCE / len(points)
        assert mean == pytest.approx(row.mean_distance, rel=1e-5, abs=1e-6)
        centres = after


def test_a_body_that_is_its_own_centre_is_no_reason_to_give_up(spaces):
    # a cluster of one body: coordinates do not give a distance of zero within a share of it
    params, k = random_bodies(80, 6), 80
    points = embed_bodies(embedding(spaces["vertex"]), params, 1.0)
    graph, sums = IterationGraph(points, k), begun(points, 7)
    sums.total = torch.cat([sums.total, sums.total.new_zeros(k - 7, sums.total.shape[1])])
    graph._make(ListLengths(100, 2000, 2000, 100, 600), False)
    outcome = graph(params, sums)
    assert outcome is not None and outcome.empty == 0
    assert torch.equal(sums.labels, torch.arange(80))
    assert outcome.distance / DISTANCE / 80 < 1e-3


def test_every_list_is_used_by_near_ties(spaces, monkeypatch):
    params, centres = near_ties()
    points = embed_bodies(embedding(spaces["vertex"]), params, 1.0)
    graph, counts = IterationGraph(points, len(centres)), []
    graph._make(ListLengths(400, 2000, 2000, 400, 600), False)
    run = graph._run
    monkeypatch.setattr(graph, "_run", lambda *a: counts.append(run(*a)) or counts[-1])
    graph(centres, begun(points, len(centres)))
    assert (counts[0][-1][-5:] > 0).all()  # open, pairs, left, whole, exact


def test_a_list_that_fills_its_capacity_changes_nothing_and_grows(spaces):
    params, centres = near_ties()
    points, k = embed_bodies(embedding(spaces["vertex"]), params, 1.0), len(centres)
    sums, graph = begun(points, k), IterationGraph(points, k)
    labels, total = sums.labels.clone(), sums.total.clone()
    graph._make(ListLengths(400, 6, 2000, 400, 600), True)
    capacity = graph._capacity
    assert graph(centres, sums) is None
    assert torch.equal(sums.labels, labels) and torch.equal(sums.total, total)
    assert graph._capacity.pairs == 2 * capacity.pairs and not graph._recorded


def test_capacities_are_steady_before_a_graph_is_recorded(spaces):
    params, k = random_bodies(300, 6), 5
    points = embed_bodies(embedding(spaces["vertex"]), params, 1.0)
    graph, sums, centres = IterationGraph(points, k), begun(points, k), random_bodies(k, 8)
    graph._make(ListLengths(300, 300, 300, 300, 300), False)
    recorded = []
    for _ in range(4):
        outcome = graph(centres, sums)
        assert outcome is not None
        centres = outcome.centres
        recorded.append(graph._recorded)
    assert recorded[-1] and not recorded[0]
    assert max(graph._capacity.pairs, graph._capacity.whole) < 300  # no longer than needed
    assert IterationGraph.where_it_fits(points, k) is None  # there is no GPU


def test_rows_of_a_padded_list():
    holds = torch.tensor([False, True, False, True])
    listed = PaddedIndices(holds, 3)
    assert listed.rows.tolist() == [1, 3, 4] and listed.at.tolist() == [1, 3, 3]
    assert listed.real.tolist() == [True, True, False] and int(listed.count) == 2
    written = PaddedScatter(torch.arange(4))
    written.put(listed.rows, torch.tensor([7, 8, 9]))
    assert written.values.tolist() == [0, 7, 2, 8]
