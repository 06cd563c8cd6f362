"""The nearest prototype: exact assignments for evaluation, labels for training."""

import pytest
import torch
from bodies import random_bodies, twins

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import vertex_weights
from pmnet.clustering.reference import nearest_centres
from pmnet.memory.nearest import assign_exactly
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
SPACES = ("vertex", "parameter")


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    return {
        "vertex": VertexSpace(body, vertex_weights(body.parts, PAPER)),
        "parameter": ParameterSpace(),
    }


@pytest.mark.parametrize("name", SPACES)
def test_exact_assignments_are_those_of_the_reference(spaces, name, monkeypatch):
    monkeypatch.setattr("pmnet.memory.nearest.EXACT", 16)  # several blocks
    params, centres = random_bodies(50, 1, 0.6), random_bodies(9, 2, 0.6)
    expected, _ = nearest_centres(spaces[name], params, centres)
    assert torch.equal(assign_exactly(spaces[name], centres, params), expected)
    assert len(expected.unique()) > 2


@pytest.mark.parametrize("name", SPACES)
def test_copies_of_a_centre_and_mirror_twins_go_to_the_lower_index(spaces, name):
    # 12 centres, their mirror twins, the 12 again; as bodies also 12 that lie between two twins
    params, centres = twins()
    nearest = assign_exactly(spaces[name], centres, params)
    assert nearest[:36].tolist() == [*range(24), *range(12)]
    assert torch.equal(nearest, nearest_centres(spaces[name], params, centres)[0])
    # a body that is as far from a twin as from the other takes the lower index in either order
    swapped = centres[torch.arange(24).roll(12)]
    for order in (centres[slice(0, 24)], swapped):
        between = params[slice(36, 48)]
        expected, _ = nearest_centres(spaces[name], between, order)
        assert torch.equal(assign_exactly(spaces[name], order, between), expected)


def test_close_and_clear_bodies_of_a_block_are_told_apart(spaces):
    between, centres = twins()
    params = BodyParams.cat([random_bodies(5, 1, 0.6), between, random_bodies(5, 2, 0.6)])
    expected, _ = nearest_centres(spaces["vertex"], params, centres)
    assert torch.equal(assign_exactly(spaces["vertex"], centres, params), expected)


def test_no_body_has_no_assignment(spaces):
    nearest = assign_exactly(spaces["vertex"], random_bodies(3), random_bodies(0))
    assert nearest.shape == (0,) and nearest.dtype == torch.int64
