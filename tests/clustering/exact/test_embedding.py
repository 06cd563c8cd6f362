"""Coordinates of bodies, and the bounds on what they leave out."""

import pytest
import torch
from bodies import embedding, random_bodies

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import vertex_weights
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.memory.spaces import BodyPoseSpace, Space, VertexSpace

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
SPREADS = [(0.4, 1.0), (1.5, 3.0), (0.3, 6.0), (0.3, 50.0)]


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    return {
        "parts": VertexSpace(body, vertex_weights(body.parts, PAPER)),
        "flat": VertexSpace(body, torch.ones(6890)),
        "body_pose": BodyPoseSpace(body, vertex_weights(body.parts, PAPER)),
    }


@pytest.mark.parametrize("name", ["parts", "flat"])
@pytest.mark.parametrize(("spread", "betas_spread"), SPREADS)
def test_coordinates_and_residual_bound_what_they_say(spaces, name, spread, betas_spread):
    found, params = embedding(spaces[name]), random_bodies(40, 2, spread, betas_spread)
    basis = found.projection
    points = spaces[name].exact_blocks.points(params.to(torch.float64)) - basis.origin
    inside = points @ basis.columns
    expected = inside.transpose(1, 2).flatten(1)  # x, y, z of a column side by side
    coordinates = found.coordinates(params)
    bounds = found.bounds(params, coordinates)
    error = (coordinates.double() - expected).norm(dim=1)
    assert (3 * error <= bounds.noise).all()
    residual = (points - inside @ basis.columns.T).flatten(1).norm(dim=1)
    assert (residual <= bounds.residual).all()
    assert (bounds.residual <= 1.02 * residual + 0.1).all()  # and it is not far above
    lengths = points.flatten(1).norm(dim=1)
    assert ((bounds.squared.sqrt() - lengths).abs() <= bounds.noise).all()
    head = bounds.without(coordinates[:, 72:])
    dropped = (points - inside[..., :24] @ basis.columns[:, :24].T).flatten(1).norm(dim=1)
    assert (dropped <= head.residual).all()
    assert (head.residual <= 1.02 * dropped + 0.1).all()


@pytest.mark.parametrize("name", ["parts", "flat"])
def test_bounds_are_the_same_from_vertices_that_are_at_hand(spaces, name):
    params, found = random_bodies(20, 4), embedding(spaces[name])
    points, coordinates = spaces[name].embed(params), found.coordinates(params)
    bounds = [found.bounds(params, coordinates, p) for p in (None, points)]
    torch.testing.assert_close(bounds[0].squared, bounds[1].squared)


def test_columns_are_orthonormal_and_few_tell_nearly_all(spaces):
    found = embedding(spaces["parts"])
    basis = found.projection
    product = basis.columns.T @ basis.columns
    torch.testing.assert_close(product, torch.eye(64).double(), atol=1e-12, rtol=0)
    params = random_bodies(40, 3)
    bounds = found.bounds(params, found.coordinates(params))
    assert (bounds.residual**2 < 1e-3 * bounds.squared).all()


def test_chunks_made_in_threads_are_those_made_one_after_the_other(spaces, monkeypatch):
    monkeypatch.setattr("pmnet.clustering.exact.chunks.CHUNK", 16)
    params, space = random_bodies(70), spaces["parts"]
    means = torch.cat(
        space.statistics(random_bodies(600)), 1
    ).double()  # more than are averaged at a time
    alone, middle = embed_bodies(embedding(space), params, 1.0), space.mean_body(means)
    torch.set_num_threads(2)
    try:
        together, also = embed_bodies(embedding(space), params, 1.0), space.mean_body(means)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(alone.bounds.residual, together.bounds.residual)
    assert torch.equal(alone.chunk(0).coordinates, together.chunk(0).coordinates)
    assert len(middle) == 600 and torch.equal(middle.rotmats, also.rotmats)


def test_turned_bodies_have_the_same_coordinates_in_the_space_of_body_poses(spaces):
    params = random_bodies(6)
    turned = BodyParams(params.rotmats.clone(), params.betas)
    turned.rotmats[:, 0] = random_bodies(6, seed=5).rotmats[:, 0]
    found = embedding(spaces["body_pose"])
    assert torch.equal(found.coordinates(params), found.coordinates(turned))
