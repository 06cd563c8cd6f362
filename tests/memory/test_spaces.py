"""The two spaces: points, their precision, and the body in the middle of many."""

import math

import numpy as np
import pytest
import torch
from bodies import embedding, random_bodies
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import BODY_PARTS, JOINTS, vertex_weights
from pmnet.body.rotations import axis_rotation
from pmnet.body.skinning import VertexBlocks
from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.reference import nearest_centres
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import Sums
from pmnet.memory.spaces import BodyPoseSpace, ParameterSpace, Space, VertexSpace

PAIR = ("parts", "parameter")
PAPER = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}


@pytest.fixture(scope="module")
def spaces(body: BodyModel) -> dict[str, Space]:
    return {
        "parts": VertexSpace(body, vertex_weights(body.parts, PAPER)),
        "flat": VertexSpace(body, torch.ones(6890)),
        "body_pose": BodyPoseSpace(body, vertex_weights(body.parts, PAPER)),
        "parameter": ParameterSpace(),
    }


def groups(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


def means_of(
    space: Space, params: BodyParams, members: Tensor, count: int
) -> tuple[BodyParams, Tensor]:
    """Return the mean body of each group, as K-Means finds it, and the sizes."""
    sums = Sums(embed_bodies(embedding(space), params, 1.0), count)
    sums.move(members)
    means, sizes = sums.means(Shard.whole(len(params)))
    return space.mean_body(means), sizes


SPREADS = [(0.4, 1.0), (1.5, 3.0), (0.3, 6.0), (0.3, 50.0)]


@pytest.mark.parametrize("name", ["parts", "flat", "body_pose", "parameter"])
@pytest.mark.parametrize(("spread", "betas_spread"), SPREADS)
def test_points_are_exact_within_the_noise(spaces, name, spread, betas_spread):
    space, params = spaces[name], random_bodies(40, 1, spread, betas_spread)
    points, exact = space.embed(params), space.exact(params)
    assert points.dtype == torch.float32 and exact.dtype == torch.float64
    assert points.shape == exact.shape
    error = (points.double() - exact).norm(dim=1)
    assert (4 * error <= space.noise_of(params)).all()
    typical = torch.cdist(exact, exact).max()
    assert space.noise_of(params).max() < 1e-4 * typical  # a bound that decides most assignments


@pytest.mark.parametrize("name", ["parts", "flat"])
def test_exact_points_are_the_vertices_in_float64(body, spaces, name):
    params = random_bodies(20, 4)
    weights = spaces[name].weights.double()
    vertices = body.double_precision().vertices_by_axis(params.to(torch.float64)) * weights
    expected = torch.cdist(vertices.flatten(1), vertices.flatten(1))
    exact = spaces[name].exact(params)
    torch.testing.assert_close(torch.cdist(exact, exact), expected, atol=1e-10, rtol=0)


def test_dense_correctives_as_of_smpl_give_the_same_answers(body):
    # every vertex follows every joint's correctives and all skinning weights are positive
    arrays = dict(body._arrays)
    generator = np.random.default_rng(0)
    dense = generator.normal(size=arrays["posedirs"].shape) * 1e-3
    arrays["posedirs"] = (arrays["posedirs"] + dense).astype(np.float32)
    skinning = arrays["weights"] + 1e-3
    arrays["weights"] = (skinning / skinning.sum(1, keepdims=True)).astype(np.float32)
    body = BodyModel(arrays)
    space, params = VertexSpace(body, vertex_weights(body.parts, PAPER)), random_bodies(60)
    error = (space.embed(params).double() - space.exact(params)).norm(dim=1)
    assert (3 * error <= space.noise_of(params)).all()
    centres = params[torch.arange(0, 60, 7)]
    labels, _ = assign(embed_bodies(embedding(space), params, 1.0), centres)
    expected, _ = nearest_centres(space, params, centres)
    assert torch.equal(labels, expected)


def test_distances_are_those_of_weighted_vertices(body, spaces):
    # gamma_ij = |(V_i - V_j) o W| (Algorithm 1), from the vertices of smplx
    params = random_bodies(5)
    vertices = body(params).vertices
    weights = vertex_weights(body.parts, PAPER)
    expected = torch.zeros(5, 5)
    for i in range(5):
        for j in range(5):
            expected[i, j] = ((vertices[i] - vertices[j]) * weights[:, None]).norm()
    points = spaces["parts"].embed(params)
    torch.testing.assert_close(torch.cdist(points, points), expected, atol=2e-3, rtol=0)


def test_flat_weights_are_plain_vertices_and_weights_scale_distances(body, spaces):
    params = random_bodies(3)
    flat = VertexBlocks(body, torch.ones(6890))
    vertices = body.vertices_by_axis(params)
    torch.testing.assert_close(flat.points(params), vertices, atol=1e-6, rtol=0)
    packed = spaces["flat"].embed(params)
    assert torch.equal(packed, flat.packed(params))
    assert torch.equal(packed.sort(1)[0], flat.points(params).flatten(1).sort(1)[0])
    twice = VertexSpace(body, torch.full((6890,), 2.0))
    assert torch.equal(twice.embed(params), 2 * spaces["flat"].embed(params))
    assert torch.equal(twice.noise_of(params), 2 * spaces["flat"].noise_of(params))


def test_only_weighted_parts_count(body):
    weights = {part: float(part == "hand") for part in BODY_PARTS}
    hands = VertexSpace(body, vertex_weights(body.parts, weights))
    params = random_bodies(2)
    params.betas[1] = params.betas[0]
    params.rotmats[1] = params.rotmats[0]
    params.rotmats[1, JOINTS.index("left_knee")] = axis_rotation(0, torch.tensor(1.0))
    kicked = hands.embed(params)
    torch.testing.assert_close(kicked[0], kicked[1], atol=1e-6, rtol=0)
    params.rotmats[1, JOINTS.index("left_elbow")] = axis_rotation(1, torch.tensor(-1.0))
    assert (hands.embed(params).diff(dim=0)).norm() > 1


def test_parameters_are_six_numbers_a_joint_and_the_betas():
    params = BodyParams(torch.eye(3).repeat(1, 24, 1, 1), torch.arange(10.0)[None])
    params.rotmats[0, 2] = axis_rotation(2, torch.tensor(math.pi / 2))
    point = ParameterSpace().embed(params)[0]
    assert point.shape == (24 * 6 + 10,)
    assert point[:6].tolist() == [1, 0, 0, 1, 0, 0]
    assert point[12:18].tolist() == pytest.approx([0, -1, 1, 0, 0, 0], abs=1e-6)
    assert point[-10:].tolist() == list(range(10))


# --- the mean body


@pytest.mark.parametrize("name", PAIR)
def test_the_mean_of_equal_bodies_is_that_body(spaces, name):
    one = random_bodies(2, spread=0.8)
    params = BodyParams.cat([one] * 3)
    means, sizes = means_of(spaces[name], params, groups(0, 1, 0, 1, 0, 1), 2)
    assert sizes.tolist() == [3, 3]
    torch.testing.assert_close(means.rotmats, one.rotmats, atol=2e-6, rtol=0)
    torch.testing.assert_close(means.betas, one.betas, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", PAIR)
def test_the_mean_of_two_turns_about_one_axis_is_halfway(spaces, name):
    # the mean of 6D numbers is halfway too, by symmetry
    params = BodyParams(torch.eye(3).repeat(2, 24, 1, 1), torch.zeros(2, 10))
    elbow = JOINTS.index("left_elbow")
    params.rotmats[:, elbow] = axis_rotation(1, torch.tensor([-0.2, -1.4]))
    params.betas[:, 3] = torch.tensor([1.0, -2.0])
    means, _ = means_of(spaces[name], params, groups(0, 0), 1)
    expected = torch.eye(3).repeat(24, 1, 1)
    expected[elbow] = axis_rotation(1, torch.tensor(-0.8))
    torch.testing.assert_close(means.rotmats[0], expected, atol=1e-6, rtol=0)
    assert means.betas[0].tolist() == pytest.approx([0, 0, 0, -0.5] + [0] * 6)


def test_the_two_means_agree_about_one_axis_and_differ_elsewhere(spaces):
    # about one axis both add up unit vectors at the angles: twice 0 and once 120 degrees make 30,
    # as atan2(sin 120, 2 + cos 120)
    params = BodyParams(torch.eye(3).repeat(3, 24, 1, 1), torch.zeros(3, 10))
    params.rotmats[2, 5] = axis_rotation(2, torch.tensor(2 * math.pi / 3))
    params.rotmats[:, 6] = random_bodies(3, spread=1.0).rotmats[:, 6]
    means = [means_of(spaces[name], params, groups(0, 0, 0), 1)[0].rotmats[0] for name in PAIR]
    for mean in means:
        angle = math.degrees(math.atan2(mean[5, 1, 0], mean[5, 0, 0]))
        assert angle == pytest.approx(30, abs=1e-3)
    assert (means[0][6] - means[1][6]).norm() > 1e-3


@pytest.mark.parametrize("name", PAIR)
def test_means_are_valid_bodies_of_their_groups(spaces, name):
    params = random_bodies(30, spread=0.7)
    members = torch.arange(30) % 4
    members[members == 2] = 0  # nobody is in group 2
    means, sizes = means_of(spaces[name], params, members, 4)
    assert sizes.tolist() == torch.bincount(members, minlength=4).tolist() and sizes[2] == 0
    for group in (0, 1, 3):
        expected = params.betas[members == group].mean(0)
        torch.testing.assert_close(means.betas[group], expected, atol=1e-5, rtol=0)
        alone, _ = means_of(
            spaces[name],
            params[(members == group).nonzero()[:, 0]],
            torch.zeros(int(sizes[group])).long(),
            1,
        )
        torch.testing.assert_close(alone.rotmats[0], means.rotmats[group], atol=1e-6, rtol=0)
    filled = means[groups(0, 1, 3)]
    product = filled.rotmats @ filled.rotmats.mT
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)
    assert (torch.linalg.det(filled.rotmats) > 0.99).all()
    assert means.rotmats.isfinite().all() and means.betas.isfinite().all()


@pytest.mark.parametrize("name", PAIR)
def test_the_order_of_the_bodies_does_not_matter(spaces, name):
    params, members = random_bodies(20), torch.arange(20) % 3
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    first, _ = means_of(spaces[name], params, members, 3)
    second, _ = means_of(spaces[name], params[order], members[order], 3)
    torch.testing.assert_close(first.rotmats, second.rotmats, atol=1e-6, rtol=0)
    torch.testing.assert_close(first.betas, second.betas, atol=1e-6, rtol=0)


def test_turned_bodies_are_one_point_of_the_space_of_body_poses(spaces):
    params = random_bodies(6)
    turned = BodyParams(params.rotmats.clone(), params.betas)
    turned.rotmats[:, 0] = random_bodies(6, seed=5).rotmats[:, 0]
    space = spaces["body_pose"]
    assert torch.equal(space.exact(params), space.exact(turned))
    assert not torch.equal(spaces["parts"].exact(params), spaces["parts"].exact(turned))
    # the middle is turned as its members are in the mean
    middle, _ = means_of(space, turned, torch.zeros(6, dtype=torch.long), 1)
    expected, _ = means_of(spaces["parts"], turned, torch.zeros(6, dtype=torch.long), 1)
    assert torch.equal(middle.rotmats, expected.rotmats)
