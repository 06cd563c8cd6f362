"""K-Means: exact assignments, Lloyd's loop by hand on points of a plane, and its contracts."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from bodies import embedding, mirrored, options, random_bodies
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, vertex_weights
from pmnet.body.rotations import axis_rotation
from pmnet.clustering.exact import chunks
from pmnet.clustering.exact import embedded as module
from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.bounds import Bounds
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.reference import Clustering, nearest_centres
from pmnet.core.errors import InputError
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
SPACES = ("vertex", "parameter")


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    weights = vertex_weights(body.parts, PAPER)
    return {"vertex": VertexSpace(body, weights), "parameter": ParameterSpace()}


def cluster(
    space: Space, params: BodyParams, k: int, cache_gib: float = 1.0, **changed: Any
) -> Clustering:
    return kmeans(embed_bodies(embedding(space), params, cache_gib), options(k, **changed))


def drawn(n: int, k: int, seed: int) -> list[int]:
    """Return the rows that a clustering starts from."""
    return (
        cluster(Plane(), plane([(i, 0) for i in range(n)]), k, seed=seed, max_iterations=0)
        .centres.betas[:, 0]
        .int()
        .tolist()
    )


# --- a plane instead of a body: points are the first two betas


class Plane:
    """The space of the first two betas and its own embedding; each mean may miss by a given length."""

    def __init__(self, misses: tuple[float, ...] = ()) -> None:
        self.misses, self.space = list(misses), self

    def coordinates(self, params: BodyParams) -> Tensor:
        return params.betas[:, :2].float()

    embed = coordinates

    def bounds(
        self, params: BodyParams, coordinates: Tensor, points: Tensor | None = None
    ) -> Bounds:
        nothing = torch.zeros(len(params))
        return Bounds(nothing, nothing, coordinates.square().sum(1))

    def noise_of(self, params: BodyParams) -> Tensor:
        return torch.zeros(len(params))

    def exact(self, params: BodyParams) -> Tensor:
        return params.betas[:, :2].double()

    def statistics(self, params: BodyParams) -> list[Tensor]:
        return [self.coordinates(params)]

    def mean_body(self, means: Tensor) -> BodyParams:
        betas = torch.zeros(len(means), 10)
        betas[:, :2] = means
        if self.misses:
            betas[:, 1] += self.misses.pop(0)
        return BodyParams(torch.eye(3).repeat(len(means), 24, 1, 1), betas)


def plane(points: list[tuple[float, float]]) -> BodyParams:
    betas = torch.zeros(len(points), 10)
    betas[:, :2] = torch.tensor(points)
    return BodyParams(torch.eye(3).repeat(len(points), 24, 1, 1), betas)


def places(centres: BodyParams) -> list[tuple[float, ...]]:
    return [tuple(place) for place in centres.betas[:, :2].tolist()]


def seed_that_draws(rows: list[int], n: int) -> int:
    return next(seed for seed in range(1000) if drawn(n, len(rows), seed) == rows)


def test_two_rows_of_three_by_hand():
    params = plane([(0, 0), (0, 1), (0, 2), (10, 0), (10, 1), (10, 2)])
    # from one point of each row: distances 0, 1, 2, then 1, 0, 1 from the middle
    found = cluster(Plane(), params, 2, seed=seed_that_draws([0, 3], 6))
    assert places(found.centres) == [(0, 1), (10, 1)]
    assert found.assignments.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.distances.tolist() == pytest.approx([1, 0, 1, 1, 0, 1])
    rows = [(row.iteration, row.mean_distance, row.changed, row.empty) for row in found.history]
    assert rows == [(0, pytest.approx(1.0), 6, 0), (1, pytest.approx(2 / 3), 0, 0)]
    # from the ends of one row, the middles are nearest to the lower index: a local optimum
    found = cluster(Plane(), params, 2, seed=seed_that_draws([0, 2], 6))
    assert places(found.centres) == [(5, 0.5), (5, 2)]
    assert found.assignments.tolist() == [0, 0, 1, 0, 0, 1]


def test_a_cluster_that_nobody_chooses_keeps_its_centre():
    # two of the three starting centres are one place: all there choose the lower index
    params = plane([(5, 7), (5, 7), (9, 7), (25, 7)])
    found = cluster(Plane(), params, 3, seed=seed_that_draws([0, 1, 3], 4))
    assert [row.empty for row in found.history] == [1, 0, 0]
    # the empty one stays at (5, 7); when the other has moved to the mean (19/3, 7), it gets both
    assert [row.mean_distance for row in found.history] == pytest.approx([1, 8 / 3 / 4, 0])
    assert places(found.centres) == [(9, 7), (5, 7), (25, 7)]
    assert found.assignments.tolist() == [1, 1, 0, 2]


def test_a_cluster_may_stay_empty():
    params = plane([(2, 1), (2, 1), (9, 0)])
    found = cluster(Plane(), params, 3)
    assert places(found.centres) == [(2, 1), (2, 1), (9, 0)]
    assert found.assignments.tolist() == [0, 0, 2]
    assert [row.empty for row in found.history] == [1, 1]


def test_the_best_iteration_is_returned_with_its_own_assignments():
    # the third and fourth of the means miss by 1: the distance falls, then rises
    generator = torch.Generator().manual_seed(0)
    params = plane(torch.randn(60, 2, generator=generator).tolist())
    found = cluster(Plane((0.0, 0.0, 1.0, 1.0)), params, 5, max_iterations=4)
    means = [row.mean_distance for row in found.history]
    assert means[0] > means[1] > means[2] < means[3] - 0.1 and min(means) == means[2]
    assert len(means) == 5
    assert found.distances.double().mean().item() == pytest.approx(means[2])
    honest = cluster(Plane(), params, 5, max_iterations=2)
    assert torch.equal(found.centres.betas, honest.centres.betas)
    assert torch.equal(found.assignments, honest.assignments)


def test_the_loop_ends_when_the_distance_hardly_changes():
    generator = torch.Generator().manual_seed(0)
    params = plane(torch.randn(300, 2, generator=generator).tolist())
    found = cluster(Plane(), params, 8, max_iterations=100)
    means = [row.mean_distance for row in found.history]
    assert found.history[-1].changed == 0 and 5 < len(means) < 101
    # means minimise the sum of squares: the mean distance falls nearly always, not always
    assert means[-1] < 0.8 * means[0] and found.distances.mean().item() == pytest.approx(min(means))
    loose = cluster(Plane(), params, 8, max_iterations=100, tolerance=0.02)
    shares = [1 - after / before for before, after in pairwise(means)]
    first = next(i for i, share in enumerate(shares) if share < 0.02)
    assert len(loose.history) == first + 2
    short = cluster(Plane(), params, 8, max_iterations=3)
    assert [row.iteration for row in short.history] == [0, 1, 2, 3]


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_laws_of_any_points_of_a_plane(points, k, seed):
    params = plane([(float(x), float(y)) for x, y in points])
    k = min(k, len(points))
    found = cluster(Plane(), params, k, seed=seed)
    expected, _ = nearest_centres(Plane(), params, found.centres)
    assert found.assignments.tolist() == expected.tolist()
    gap = found.centres.betas[expected, :2] - params.betas[:, :2]
    torch.testing.assert_close(found.distances, gap.norm(dim=1), atol=1e-5, rtol=0)
    means = [row.mean_distance for row in found.history]
    assert found.distances.double().mean().item() == pytest.approx(min(means), abs=1e-6)
    assert 1 <= len(means) <= 21


# --- bodies


def arms(count: int, raised_deg: float) -> BodyParams:
    """Return mean bodies whose left arm is raised by this angle, give or take 5 degrees."""
    rotvecs = torch.zeros(count, 24, 3)
    raised = torch.linspace(-5, 5, count) + raised_deg
    rotvecs[:, JOINTS.index("left_shoulder"), 2] = raised.deg2rad()
    return BodyParams.from_rotvecs(rotvecs, torch.zeros(count, 10))


@pytest.mark.parametrize("name", SPACES)
def test_arms_up_and_arms_down_are_two_prototypes(spaces, name):
    params = BodyParams.cat([arms(5, 60.0), arms(5, -60.0)])
    for seed in range(3):
        found = cluster(spaces[name], params, 2, seed=seed)
        up = int(found.assignments[0])
        assert found.assignments.tolist() == [up] * 5 + [1 - up] * 5
        shoulders = found.centres.rotmats[:, JOINTS.index("left_shoulder")]
        for centre, angle_deg in ((up, 60.0), (1 - up, -60.0)):
            expected = axis_rotation(2, torch.tensor(math.radians(angle_deg)))
            torch.testing.assert_close(shoulders[centre], expected, atol=1e-5, rtol=0)
        assert found.distances[[2, 7]].max() < 1e-3 * found.distances.max()  # the middle ones


@pytest.mark.parametrize("name", SPACES)
def test_assignments_are_those_of_brute_force_in_float64(spaces, name):
    # bodies, their mirror twins and copies of both, as samples and as centres
    some = random_bodies(30)
    symmetric = arms(4, 0.0)
    symmetric.rotmats[:] = torch.eye(3)
    symmetric.betas[:, 0] = torch.linspace(-1, 1, 4)
    params = BodyParams.cat([some, mirrored(some), some[slice(0, 10)], symmetric])
    twins = torch.tensor([0, 30, 1, 31, 60, 5, 35, 65, 2, 0, 71])
    for rows in (twins, twins.flip(0), torch.arange(7), torch.tensor([3])):
        centres = params[rows]
        assignments, distances = assign(embed_bodies(embedding(spaces[name]), params, 1.0), centres)
        expected, gaps = nearest_centres(spaces[name], params, centres)
        assert assignments.tolist() == expected.tolist()
        # a sample that is a centre belongs to the first copy of it
        for place, row in enumerate(rows.tolist()):
            assert distances[row] < 1e-3
            assert assignments[row] <= place
        torch.testing.assert_close(distances.double(), gaps, atol=2e-3, rtol=2e-3)


def test_centres_nearer_to_each_other_than_float32_can_tell(spaces):
    # a ladder of arms 2e-6 rad apart: float32 points cannot order them, float64 can
    samples = arms(9, 40.0)
    shoulder = JOINTS.index("left_shoulder")
    rungs = BodyParams(samples.rotmats[:1].repeat(6, 1, 1, 1), samples.betas[:1].repeat(6, 1))
    angles = math.radians(40) + 2e-6 * (torch.arange(6) - 2.5)
    rungs.rotmats[:, shoulder] = axis_rotation(2, angles)
    assignments, _ = assign(embed_bodies(embedding(spaces["vertex"]), samples, 1.0), rungs)
    expected, _ = nearest_centres(spaces["vertex"], samples, rungs)
    assert assignments.tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 1


@pytest.mark.parametrize("name", SPACES)
def test_the_last_step_is_an_assignment_to_the_returned_centres(spaces, name):
    params = random_bodies(60)
    for max_iterations in (0, 1, 2, 20):
        found = cluster(spaces[name], params, 5, max_iterations=max_iterations)
        again = assign(embed_bodies(embedding(spaces[name]), params, 1.0), found.centres)
        assert torch.equal(again[0], found.assignments)
        assert torch.equal(again[1], found.distances)
        means = [row.mean_distance for row in found.history]
        assert found.distances.double().mean().item() == pytest.approx(min(means), rel=2e-3)
        assert len(means) <= max_iterations + 1
        expected, _ = nearest_centres(spaces[name], params, found.centres)
        assert found.assignments.tolist() == expected.tolist()


@pytest.mark.parametrize("name", SPACES)
def test_it_gets_better_than_its_random_start(spaces, name):
    params = random_bodies(80)
    found = cluster(spaces[name], params, 6)
    start = cluster(spaces[name], params, 6, max_iterations=0)
    assert found.history[0].mean_distance == start.history[0].mean_distance
    assert found.distances.mean() < 0.95 * start.distances.mean()
    product = found.centres.rotmats @ found.centres.rotmats.mT
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SPACES)
def test_no_iterations_is_random_select(spaces, name):
    params = random_bodies(40)
    found = cluster(spaces[name], params, 7, max_iterations=0)
    rows = [int((params.betas == centre).all(1).nonzero()[0]) for centre in found.centres.betas]
    assert rows == sorted(set(rows)) and len(rows) == 7
    assert torch.equal(found.centres.rotmats, params.rotmats[rows])
    assert found.assignments[rows].tolist() == list(range(7))
    assert len(found.history) == 1 and found.history[0].changed == 40
    other = cluster(spaces[name], params, 7, max_iterations=0, seed=1)
    assert not torch.equal(other.centres.betas, found.centres.betas)


@pytest.mark.parametrize("name", SPACES)
def test_one_prototype_is_the_mean_whatever_the_seed(spaces, name):
    params = random_bodies(25)
    statistics = torch.cat(spaces[name].statistics(params), 1).double().mean(0, keepdim=True)
    expected = spaces[name].mean_body(statistics)
    for seed in range(3):
        found = cluster(spaces[name], params, 1, seed=seed)
        torch.testing.assert_close(found.centres.rotmats, expected.rotmats, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.centres.betas, expected.betas, atol=1e-6, rtol=0)
        assert (found.assignments == 0).all() and len(found.history) == 1
    alone = cluster(spaces[name], params, 1, max_iterations=0)
    assert (params.betas == alone.centres.betas).all(1).sum() == 1


@pytest.mark.parametrize("name", SPACES)
def test_as_many_prototypes_as_bodies_leave_no_distance(spaces, name):
    params = random_bodies(6)
    found = cluster(spaces[name], params, 6)
    assert found.assignments.tolist() == list(range(6))
    assert found.distances.max() < 1e-3


@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_is_from_one_to_the_number_of_samples(spaces, k):
    with pytest.raises(InputError, match=f"cluster.k is {k}: it must be from 1 to the 10 training"):
        cluster(spaces["parameter"], random_bodies(10), k)


def same(first: Clustering, second: Clustering) -> bool:
    return first.history == second.history and all(
        torch.equal(a, b)
        for a, b in (
            (first.centres.rotmats, second.centres.rotmats),
            (first.centres.betas, second.centres.betas),
            (first.assignments, second.assignments),
            (first.distances, second.distances),
        )
    )


@pytest.mark.parametrize("name", SPACES)
def test_the_same_seed_gives_the_same_result(spaces, name):
    params = random_bodies(50)
    results = [cluster(spaces[name], params, 5, seed=seed) for seed in (3, 3, 4)]
    assert same(results[0], results[1]) and not same(results[0], results[2])


def in_chunks_of(size: int, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a chunk have `size` bodies, embedded in `pieces` pieces."""
    monkeypatch.setattr(module, "CPU_CHUNK", size)
    monkeypatch.setattr(chunks, "CHUNK", size // pieces)


@pytest.mark.parametrize("name", SPACES)
def test_points_that_are_kept_and_points_made_anew_give_the_same_result(spaces, name, monkeypatch):
    in_chunks_of(16, 1, monkeypatch)
    params = random_bodies(50)
    kept, streamed = (cluster(spaces[name], params, 5, cache_gib=gib) for gib in (1.0, 0.0))
    assert len(embed_bodies(embedding(spaces[name]), params, 0.0).kept) == 0
    assert len(embed_bodies(embedding(spaces[name]), params, 1.0).kept) == 4
    assert same(kept, streamed)


def test_the_budget_counts_the_bytes_of_what_is_kept(spaces, monkeypatch):
    in_chunks_of(10, 1, monkeypatch)
    gib = 20 * (192 + 76 + 226) * 4 / 2**30
    params = random_bodies(30)
    assert len(embed_bodies(embedding(spaces["vertex"]), params, gib).kept) == 2
    assert len(embed_bodies(embedding(spaces["vertex"]), params, 0.99 * gib).kept) == 1


def test_points_are_whole_where_all_is_kept_in_one_chunk(spaces, monkeypatch):
    in_chunks_of(10, 1, monkeypatch)
    gib = 20 * (192 + 76 + 226) * 4 / 2**30  # for two chunks
    for bodies, budget, whole in ((10, gib, True), (20, gib, False), (20, 0.6 * gib, False)):
        points = embed_bodies(embedding(spaces["vertex"]), random_bodies(bodies), budget)
        assert replace(points, scale=1.0).whole == whole  # as on a GPU


@pytest.mark.parametrize("name", SPACES)
def test_the_size_of_a_chunk_does_not_change_assignments(spaces, name, monkeypatch):
    params = random_bodies(50)
    centres = params[slice(0, 50, 7)]
    whole, _ = assign(embed_bodies(embedding(spaces[name]), params, 1.0), centres)
    in_chunks_of(21, 3, monkeypatch)
    parts, _ = assign(embed_bodies(embedding(spaces[name]), params, 1.0), centres)
    assert torch.equal(parts, whole)


def test_progress_is_reported(capsys):
    cluster(Plane(), plane([(0, 0), (0, 2), (10, 0), (10, 2)]), 2)
    printed = capsys.readouterr()
    assert printed.out == "" and "0 empty" in printed.err
    assert "K-Means 0: mean distance " in printed.err
