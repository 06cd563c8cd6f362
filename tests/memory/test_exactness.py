"""Assignments are those of brute force in float64: on real motion capture, and where it is hard."""

import math
from pathlib import Path

import pytest
import torch
from bodies import mirrored, random_bodies
from torch import Tensor

from benchmarks.poses import bodies
from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, vertex_weights
from pmnet.memory.assignment import assign
from pmnet.memory.points import Points
from pmnet.memory.space import VertexSpace
from pmnet.rotations import axis_rotation

MOCAP = Path(__file__).parents[2] / ".." / "shared" / "mocap"
PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}


@pytest.fixture(scope="module")
def space(body: BodyModel) -> VertexSpace:
    return VertexSpace(body, vertex_weights(body.parts, PAPER))


def brute_force(space: VertexSpace, params: BodyParams, centres: BodyParams) -> Tensor:
    """Return the nearest centres by vertices in float64; ties go to the lowest index."""
    ends = space.exact(centres)
    labels = []
    for rows in torch.arange(len(params)).split(64):
        x = space.exact(params[rows])
        gaps = torch.stack([(x - end).norm(dim=1) for end in ends], 1)
        labels.append((gaps <= gaps.amin(1, keepdim=True) + 1e-11).long().argmax(1))
    return torch.cat(labels)


def check(space: VertexSpace, params: BodyParams, centres: BodyParams) -> Tensor:
    """Assert that both tolerances give the labels of brute force, and the distances they promise."""
    expected = brute_force(space, params, centres)
    gaps = (space.exact(params) - space.exact(centres)[expected]).norm(dim=1)
    points = Points(space, params, 1.0)
    for tolerance in (0.05, 2e-3):
        labels, distances = assign(points, centres, tolerance)
        assert torch.equal(labels, expected)
        error = (distances.double() - gaps).abs()
        assert (error <= tolerance * gaps + 1e-3).all()
    return expected


@pytest.mark.skipif(not MOCAP.is_dir(), reason="no motion capture in ../shared/mocap")
@pytest.mark.parametrize("k", [5, 64])
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
    points = Points(space, params, 1.0)
    made = []
    embed = VertexSpace.embed
    monkeypatch.setattr(
        VertexSpace, "embed", lambda self, some: made.append(len(some)) or embed(self, some)
    )
    assign(points, random_bodies(10, 7), 0.05)
    assert sum(made) - 10 < 0.1 * len(params)
