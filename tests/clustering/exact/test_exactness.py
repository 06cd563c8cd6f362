"""Assignments are those of brute force in float64: on real motion capture, and where it is hard."""

import math
from pathlib import Path

import pytest
import torch
from bodies import embedding, mirrored, random_bodies
from torch import Tensor

from benchmarks.clustering.poses import bodies
from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, vertex_weights
from pmnet.body.rotations import axis_rotation
from pmnet.clustering.exact import assign as assign_module
from pmnet.clustering.exact.assign import assign, search
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.exact.refine import Centres
from pmnet.clustering.exact.rivals import compared
from pmnet.clustering.reference import nearest_centres
from pmnet.memory.spaces import VertexSpace

MOCAP = Path(__file__).parents[3] / ".." / "shared" / "mocap"
PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}


@pytest.fixture(scope="module")
def space(body: BodyModel) -> VertexSpace:
    return VertexSpace(body, vertex_weights(body.parts, PAPER))


def check(space: VertexSpace, params: BodyParams, centres: BodyParams) -> Tensor:
    """Assert that both tolerances give the assignments of the reference, and the distances they promise."""
    expected, gaps = nearest_centres(space, params, centres)
    points = embed_bodies(embedding(space), params, 1.0)
    for tolerance in (0.05, 2e-3):
        labels, distances = assign(points, centres, tolerance)
        assert torch.equal(labels, expected)
        error = (distances.double() - gaps).abs()
        assert (error <= tolerance * gaps + 1e-3).all()
    return expected


@pytest.mark.skipif(
    not MOCAP.is_dir(),
    reason="needs motion capture in AMASS's layout in ../shared/mocap (docs/data.md: where to get it)",
)
@pytest.mark.parametrize("k", [5, 64, 200])
def test_real_poses_with_mirror_images_and_views(space, k):
    params = bodies(MOCAP, 150_000)[slice(0, 1200)]
    check(space, params, params[torch.arange(0, 1200, 1200 // k)[:k]])


def test_mirror_twins_and_duplicates_of_centres(space):
    some = random_bodies(12)
    centres = BodyParams.cat([some, mirrored(some), some])
    between = BodyParams(some.rotmats.clone(), some.betas)
    between.rotmats[:] = torch.eye(3)  # as far from a body as from its twin
    expected = check(space, BodyParams.cat([centres, between]), centres)
    assert expected[:24].tolist() == list(range(24))
    assert expected[24:36].tolist() == list(range(12))


def test_extreme_shapes_and_bodies_upside_down(space):
    params = BodyParams.cat([random_bodies(60, 1, 0.4, 50.0), random_bodies(60, 2, 1.5, 6.0)])
    turned = BodyParams(params.rotmats.clone(), params.betas)
    turned.rotmats[:, 0] = axis_rotation(0, torch.tensor(math.pi)) @ turned.rotmats[:, 0]
    every = BodyParams.cat([params, turned])
    check(space, every, every[torch.arange(0, 240, 17)])


@pytest.mark.parametrize("step_rad", [1e-2, 1e-4, 1e-6])
def test_centres_that_are_nearly_the_same(space, step_rad):
    # pairs of centres on both sides of the samples: the nearer side is a matter of `step_rad`
    params = random_bodies(40, 5)
    elbow = JOINTS.index("left_elbow")
    sides = []
    for sign in (-1.0, 1.0):
        side = BodyParams(params.rotmats[:20].clone(), params.betas[:20])
        turn = sign * step_rad * torch.linspace(0.5, 1.5, 20)
        side.rotmats[:, elbow] = side.rotmats[:, elbow] @ axis_rotation(1, turn)
        sides.append(side)
    check(space, params, BodyParams.cat(sides))


def test_hardly_any_body_is_compared_whole(space, monkeypatch):
    params = random_bodies(400, 6)
    points = embed_bodies(embedding(space), params, 1.0)
    made = []
    embed = VertexSpace.embed
    monkeypatch.setattr(
        VertexSpace, "embed", lambda self, some: made.append(len(some)) or embed(self, some)
    )
    assign(points, random_bodies(10, 7), 0.05)
    assert sum(made) - 10 < 0.1 * len(params)


def around(body: BodyParams, count: int, step_rad: float) -> BodyParams:
    """Return bodies that differ from one by small turns of all joints."""
    turns = torch.randn(count, 24, 3, generator=torch.Generator().manual_seed(9)) * step_rad
    turned = BodyParams.from_rotvecs(turns, torch.zeros(count, 10)).rotmats @ body.rotmats
    return BodyParams(turned, body.betas.expand(count, -1))


@pytest.mark.parametrize(("step_rad", "share"), [(0.3, 0.95), (1e-2, 0.3), (1e-5, 0.0)])
def test_what_a_pair_of_centres_tells_is_true(space, step_rad, share):
    params = random_bodies(40, 8)
    near = around(params[slice(0, 1)], 8, step_rad)
    points = embed_bodies(embedding(space), params, 1.0)
    centres = Centres(points, BodyParams.cat([near, near[slice(0, 1)]]))
    body, one, two = torch.cartesian_prod(torch.arange(40), torch.arange(9), torch.arange(9)).T
    coordinates = points.chunk(0).coordinates[body]
    farther, nearer = compared(centres, coordinates, points.bounds[body], one, two)
    exact = torch.cdist(space.exact(params), space.exact(centres.params))
    gap = exact[body, two] - exact[body, one]
    assert (gap[farther] > 0).all() and (gap[nearer] < 0).all()
    same = one % 8 == two % 8
    assert not (farther | nearer)[same].any()
    assert (farther | nearer)[~same].float().mean() >= share


def test_pairs_of_centres_leave_fewer_bodies_to_be_compared_whole(space, monkeypatch):
    params = random_bodies(400, 10)
    points, centres = (
        embed_bodies(embedding(space), params, 1.0),
        around(params[slice(0, 1)], 12, 0.02),
    )

    def left() -> int:
        found = search(Centres(points, centres), 0.05)
        return sum(len(body.unique()) for body, _ in found.undecided._open)

    with_pairs = left()
    nothing = torch.zeros((), dtype=torch.bool)
    monkeypatch.setattr(
        assign_module, "compared", lambda c, y, b, one, two: [nothing.expand(len(one))] * 2
    )
    assert 0 < with_pairs < 0.6 * left()
