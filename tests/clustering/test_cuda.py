"""K-Means on a GPU: assignments of brute force in float64 and of the CPU, the same at every run."""

import math

import pytest
import torch
from bodies import embedding, options, random_bodies, twins

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, vertex_weights
from pmnet.body.rotations import (
    axis_rotation,
    mean_rotation,
    moments_of_rotmats,
    unitquat_to_rotmat,
)
from pmnet.clustering.cuda_iteration import IterationGraph
from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.init import start
from pmnet.clustering.kmeans import iterate, kmeans
from pmnet.clustering.reference import nearest_points
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import Sums
from pmnet.core.cuda_graph import CudaGraph
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
GPU = torch.device("cuda")
PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
SPACES = ("vertex", "parameter")


@pytest.fixture(scope="module")
def there(body: BodyModel) -> BodyModel:
    """Return the body on the GPU."""
    return BodyModel(body._arrays).to(GPU)


def space_of(name: str, body: BodyModel) -> Space:
    return (
        VertexSpace(body, vertex_weights(body.parts, PAPER))
        if name == "vertex"
        else ParameterSpace()
    )


def brute_force(
    body: BodyModel, name: str, params: BodyParams, centres: BodyParams
) -> torch.Tensor:
    """Return the nearest centres by plain float64 vertices or parameters on the CPU; lowest index first."""
    if name == "parameter":
        x, c = (ParameterSpace().exact(p) for p in (params, centres))
    else:
        double, weights = body.double_precision(), vertex_weights(body.parts, PAPER).double()
        x, c = (
            (double.vertices_by_axis(p.to(torch.float64)) * weights).flatten(1)
            for p in (params, centres)
        )
    return nearest_points(x, c)[0]


def nearly_the_same(step_rad: float) -> tuple[BodyParams, BodyParams]:
    """Return bodies, and pairs of centres on both sides of some of them."""
    params, elbow = random_bodies(40, 5), JOINTS.index("left_elbow")
    sides = []
    for sign in (-1.0, 1.0):
        side = BodyParams(params.rotmats[:20].clone(), params.betas[:20])
        turn = sign * step_rad * torch.linspace(0.5, 1.5, 20)
        side.rotmats[:, elbow] = side.rotmats[:, elbow] @ axis_rotation(1, turn)
        sides.append(side)
    return params, BodyParams.cat(sides)


def extreme() -> tuple[BodyParams, BodyParams]:
    """Return bodies of extreme shapes, also upside down; some are centres."""
    params = BodyParams.cat([random_bodies(60, 1, 0.4, 50.0), random_bodies(60, 2, 1.5, 6.0)])
    turned = BodyParams(params.rotmats.clone(), params.betas)
    turned.rotmats[:, 0] = axis_rotation(0, torch.tensor(math.pi)) @ turned.rotmats[:, 0]
    every = BodyParams.cat([params, turned])
    return every, every[torch.arange(0, 240, 17)]


CASES = {
    "many": lambda: (random_bodies(200, 6), random_bodies(70, 7)),
    "twins": twins,
    "extreme": extreme,
    "near 1e-2": lambda: nearly_the_same(1e-2),
    "near 1e-4": lambda: nearly_the_same(1e-4),
    "near 1e-6": lambda: nearly_the_same(1e-6),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("case", CASES)
def test_assignments_are_those_of_brute_force(body, there, name, case):
    params, centres = CASES[case]()
    expected = brute_force(body, name, params, centres)
    points = embed_bodies(embedding(space_of(name, there)), params, 1.0, GPU)
    for tolerance in (0.05, 2e-3):
        labels, _ = assign(points, centres.to(GPU), tolerance)
        assert torch.equal(labels.cpu(), expected)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("cache_gib", [1.0, 0.0])
def test_assignments_and_distances_are_those_of_the_cpu(body, there, name, cache_gib):
    params = random_bodies(9000, 8)  # more than what is made at once
    centres = params[torch.arange(0, 9000, 90)]
    here = assign(embed_bodies(embedding(space_of(name, body)), params, 1.0), centres)
    labels, distances = assign(
        embed_bodies(embedding(space_of(name, there)), params, cache_gib, GPU), centres.to(GPU)
    )
    assert torch.equal(labels.cpu(), here[0])
    torch.testing.assert_close(distances.cpu(), here[1], atol=1e-3, rtol=4e-3)


@pytest.mark.parametrize("name", SPACES)
def test_two_runs_are_the_same_to_the_last_bit(there, name):
    params, search = random_bodies(6000, 9), options(30, max_iterations=5)
    first, second = (
        kmeans(embed_bodies(embedding(space_of(name, there)), params, 1.0, GPU), search)
        for _ in range(2)
    )
    assert first.history == second.history
    assert torch.equal(first.centres.rotmats, second.centres.rotmats)
    assert torch.equal(first.centres.betas, second.centres.betas)
    assert torch.equal(first.assignments, second.assignments)
    assert torch.equal(first.distances, second.distances)


@pytest.mark.parametrize("name", SPACES)
def test_a_recorded_iteration_finds_what_one_step_by_step_finds(there, name):
    points, k = (
        embed_bodies(embedding(space_of(name, there)), random_bodies(9000, 6), 1.0, GPU),
        40,
    )
    graph, shard = IterationGraph.where_it_fits(points, k), Shard.whole(len(points))
    assert graph is not None
    first, second = Sums(points, k), Sums(points, k)
    centres = start(points, k, 0, "random", shard)
    for _ in range(8):
        row, after = iterate(points, centres, first, shard)
        also, found = iterate(points, centres, second, shard, graph)
        assert torch.equal(first.labels, second.labels)
        assert torch.equal(first.total, second.total)
        assert torch.equal(after.rotmats, found.rotmats)
        assert (row.changed, row.empty) == (also.changed, also.empty)
        assert also.mean_distance == pytest.approx(row.mean_distance, rel=1e-6)
        centres = found
    assert isinstance(graph._run, CudaGraph)


def test_rounding_is_within_what_the_bounds_count_on(body, there):
    # the law of test_spaces.py and exact/test_embedding.py, on a GPU: block by block and all at once
    params = BodyParams.cat([random_bodies(2500, 1), random_bodies(2500, 2, 1.5, 6.0)]).to(GPU)
    space = space_of("vertex", there)
    for part in (params, params[slice(0, 50)]):
        some = slice(0, len(part), 100) if len(part) > 1000 else slice(None)
        error = (space.embed(part)[some].double() - space.exact(part[some])).norm(dim=1)
        assert (2 * error <= space.noise_of(part[some])).all()
        found = embedding(space)
        y = found.coordinates(part)
        b = found.bounds(part, y)
        inside = (
            space.exact_blocks.points(part[some].to(torch.float64)) - found.projection.origin
        ) @ found.projection.columns
        assert (2 * (y[some].double() - inside.mT.flatten(1)).norm(dim=1) <= b.noise[some]).all()
    # the float64 kernels against plain float64
    few = params[slice(0, 20)]
    double, weights = body.double_precision(), vertex_weights(body.parts, PAPER).double()
    plain = double.vertices_by_axis(few.to(torch.device("cpu")).to(torch.float64)) * weights
    made = space.exact_blocks.points(few.to(torch.float64)).cpu()
    torch.testing.assert_close(made, plain, atol=1e-12, rtol=0)


def test_mean_rotations_are_those_of_the_cpu(there):
    means = random_bodies(600, 1, 0.6).rotmats.double().view(60, 10, 24, 3, 3).mean(1)
    expected = unitquat_to_rotmat(mean_rotation(moments_of_rotmats(means))).float()
    numbers = torch.cat([means.flatten(1), torch.zeros(60, 10).double()], 1).to(GPU)
    found = space_of("vertex", there).mean_body(numbers).rotmats.cpu()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
