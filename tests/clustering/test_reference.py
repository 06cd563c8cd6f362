"""The reference is Algorithm 1; `kmeans` finds what it finds."""

import pytest
import torch
from bodies import embedding, options, random_bodies

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import vertex_weights
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.reference import Clustering, lloyd, mean_bodies, nearest_points
from pmnet.memory.spaces import BodyPoseSpace, ParameterSpace, Space, VertexSpace

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
SPACES = ("parts", "flat", "body_pose", "parameter")


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    weights = vertex_weights(body.parts, PAPER)
    return {
        "parts": VertexSpace(body, weights),
        "flat": VertexSpace(body, torch.ones(6890)),
        "body_pose": BodyPoseSpace(body, weights),
        "parameter": ParameterSpace(),
    }


def both(
    space: Space, bodies: BodyParams, k: int, seed: int, iterations: int, tolerance: float
) -> tuple[Clustering, Clustering]:
    """Return the clusterings of `kmeans` and of the reference, from the same bodies."""
    search = options(k, seed=seed, max_iterations=iterations, tolerance=tolerance)
    drawn = torch.randperm(len(bodies), generator=torch.Generator().manual_seed(seed))[:k]
    fast = kmeans(embed_bodies(embedding(space), bodies, 1.0), search)
    return fast, lloyd(space, bodies, bodies[drawn.sort()[0]], iterations, tolerance)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    ("k", "seed", "iterations", "tolerance"),
    [(2, 0, 20, 0.0), (5, 1, 20, 0.0), (9, 2, 20, 0.02), (9, 3, 3, 0.0), (30, 4, 20, 0.0)],
)
def test_kmeans_finds_what_the_reference_finds(spaces, name, k, seed, iterations, tolerance):
    bodies = random_bodies(90, seed, 0.6)
    fast, plain = both(spaces[name], bodies, k, seed, iterations, tolerance)
    counts = [[(row.iteration, row.changed, row.empty) for row in c.history] for c in (fast, plain)]
    assert counts[0] == counts[1] and len(plain.history) > 2
    for row, expected in zip(fast.history, plain.history, strict=True):
        assert row.mean_distance == pytest.approx(expected.mean_distance, rel=5e-3)
    assert torch.equal(fast.assignments, plain.assignments)
    torch.testing.assert_close(fast.distances, plain.distances, atol=1e-3, rtol=2e-3)
    torch.testing.assert_close(fast.centres.rotmats, plain.centres.rotmats, atol=2e-6, rtol=0)
    torch.testing.assert_close(fast.centres.betas, plain.centres.betas, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", SPACES)
def test_kmeans_finds_the_only_centre_of_the_reference(spaces, name):
    # `kmeans` starts from the mean of all; the reference reaches it after one update
    bodies = random_bodies(40, 6, 0.6)
    fast, plain = both(spaces[name], bodies, 1, 0, 20, 0.0)
    assert len(fast.history) == 1 and [row.changed for row in plain.history] == [40, 0]
    torch.testing.assert_close(fast.centres.rotmats, plain.centres.rotmats, atol=2e-6, rtol=0)
    torch.testing.assert_close(fast.distances, plain.distances, atol=1e-3, rtol=2e-3)


def test_ties_go_to_the_lower_index():
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]]).double()
    ends = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]).double()
    assignments, distances = nearest_points(points, ends)
    assert assignments.tolist() == [1, 0, 0] and distances.tolist() == [0, 0, 1]


def test_an_empty_cluster_keeps_its_centre(spaces):
    bodies, centres = random_bodies(6, 1), random_bodies(3, 2)
    means = mean_bodies(spaces["parts"], bodies, centres, torch.tensor([0, 0, 0, 2, 2, 2]))
    assert torch.equal(means.rotmats[1], centres.rotmats[1])
    assert torch.equal(means.betas[1], centres.betas[1])
    torch.testing.assert_close(means.betas[2], bodies.betas[3:].mean(0))
