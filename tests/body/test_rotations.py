"""Rotations: the layout of each representation in literal numbers, round trips, and the mean."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pmnet.body.rotations import (
    axis_rotation,
    mean_rotation,
    moments_of_rotmats,
    rot6d_to_rotmat,
    rotmat_to_rot6d,
    rotmat_to_rotvec,
    rotmat_to_unitquat,
    rotvec_to_rotmat,
    unitquat_to_rotmat,
)

HALF = math.sqrt(0.5)


def random_rotvecs(n: int, seed: int = 0, longest: float = 3.0) -> Tensor:
    """Return rotation vectors in float64, from 0 to `longest` rad long."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    axes /= axes.norm(dim=1, keepdim=True)
    return axes * longest * torch.rand(n, 1, generator=generator, dtype=torch.float64)


def mean_of(unitquat: Tensor) -> Tensor:
    """Return the mean of one group of unit quaternions."""
    return mean_rotation(moments_of_rotmats(unitquat_to_rotmat(unitquat)).sum(0))


# --- representations


def test_rot6d_is_the_first_two_columns_interleaved_as_in_spin():
    rotmat = torch.tensor([[11.0, 12.0, 13.0], [21.0, 22.0, 23.0], [31.0, 32.0, 33.0]])
    rot6d = rotmat_to_rot6d(rotmat)
    assert rot6d.tolist() == [11.0, 12.0, 21.0, 22.0, 31.0, 32.0]
    # SPIN reads view(3, 2); 4D-Humans reads view(2, 3), and would find something else here
    assert rot6d.view(3, 2)[:, 0].tolist() == [11.0, 21.0, 31.0]
    assert rot6d.view(3, 2)[:, 1].tolist() == [12.0, 22.0, 32.0]


def test_a_quarter_turn_about_z_in_all_representations():
    rotvec = torch.tensor([0.0, 0.0, math.pi / 2])
    rotmat = rotvec_to_rotmat(rotvec)
    expected = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(rotmat, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(rotmat, axis_rotation(2, torch.tensor(math.pi / 2)))
    quat = rotmat_to_unitquat(rotmat)
    xyzw = torch.tensor([0.0, 0.0, HALF, HALF])
    torch.testing.assert_close(quat * quat[3].sign(), xyzw, atol=1e-6, rtol=0)
    rot6d = rotmat_to_rot6d(expected)
    assert rot6d.tolist() == [0.0, -1.0, 1.0, 0.0, 0.0, 0.0]
    assert rot6d_to_rotmat(rot6d).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("axis", "turned"),
    [(0, [[1, 0, 0], [0, 0, 1], [0, -1, 0]]), (1, [[0, 0, -1], [0, 1, 0], [1, 0, 0]])],
)
def test_a_quarter_turn_about_x_takes_y_to_z_and_about_y_takes_z_to_x(axis, turned):
    rotmat = axis_rotation(axis, torch.full((2, 1), math.pi / 2))
    assert rotmat.shape == (2, 1, 3, 3)
    # row i of `turned` is where the i-th unit vector goes
    torch.testing.assert_close(rotmat[1, 0].T, torch.tensor(turned).float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
def test_round_trips_keep_any_leading_shape(shape):
    rotvec = random_rotvecs(math.prod(shape), seed=len(shape)).view(*shape, 3)
    rotmat = rotvec_to_rotmat(rotvec)
    assert rotmat.shape == (*shape, 3, 3)
    torch.testing.assert_close(rotmat_to_rotvec(rotmat), rotvec)
    torch.testing.assert_close(unitquat_to_rotmat(rotmat_to_unitquat(rotmat)), rotmat)
    torch.testing.assert_close(rot6d_to_rotmat(rotmat_to_rot6d(rotmat)), rotmat)


def test_a_rotation_vector_comes_back_at_most_half_a_turn_long():
    rotvec = torch.tensor([[0.0, 4.0, 0.0], [7.0, 0.0, 0.0]])
    back = rotmat_to_rotvec(rotvec_to_rotmat(rotvec))
    expected = torch.tensor([[0.0, 4.0 - 2 * math.pi, 0.0], [7.0 - 2 * math.pi, 0.0, 0.0]])
    torch.testing.assert_close(back, expected, atol=1e-5, rtol=0)


SIX = st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6)


@given(SIX)
@settings(max_examples=50, deadline=None)
def test_any_six_numbers_make_a_rotation(numbers):
    rot6d = torch.tensor(numbers, dtype=torch.float64)
    x, y = rot6d.view(3, 2).unbind(1)
    if torch.linalg.cross(x, y).norm() < 1e-3:  # Gram-Schmidt needs two directions
        return
    rotmat = rot6d_to_rotmat(rot6d)
    torch.testing.assert_close(rotmat @ rotmat.T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(rotmat).item() == pytest.approx(1)
    # the first column keeps its direction, the second stays in the plane of both
    torch.testing.assert_close(rotmat[:, 0] * x.norm(), x)
    assert (rotmat[:, 2] @ y).item() == pytest.approx(0, abs=1e-9)
    assert (rotmat[:, 1] @ y).item() > 0


def test_gram_schmidt_lets_gradients_flow():
    rot6d = random_rotvecs(4, seed=1).repeat(1, 2) + torch.arange(6)
    assert torch.autograd.gradcheck(rot6d_to_rotmat, (rot6d.requires_grad_(),))


# --- the mean rotation (Markley et al. 2007)


def test_the_mean_of_equal_rotations_is_that_rotation():
    quat = rotmat_to_unitquat(rotvec_to_rotmat(random_rotvecs(6)))
    for one in quat:
        mean = mean_of(one.expand(5, 4))
        assert (mean @ one).abs().item() == pytest.approx(1)


def test_the_sign_of_a_quaternion_does_not_matter():
    quat = rotmat_to_unitquat(rotvec_to_rotmat(random_rotvecs(7, longest=1.0)))
    signs = torch.tensor([1.0, -1, 1, -1, -1, 1, -1])[:, None]
    torch.testing.assert_close(mean_of(quat), mean_of(quat * signs))


def test_the_mean_has_a_scalar_part_that_is_not_negative():
    quat = rotmat_to_unitquat(rotvec_to_rotmat(random_rotvecs(200, seed=3)))
    means = mean_rotation(moments_of_rotmats(unitquat_to_rotmat(quat)).view(4, 50, 4, 4).sum(0))
    assert means.shape == (50, 4)
    assert (means[:, 3] >= 0).all()
    torch.testing.assert_close(means.norm(dim=1), torch.ones(50, dtype=torch.float64))


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_two_rotations_about_one_axis_meet_in_the_middle(first, second, axis):
    angles = torch.tensor([first, second], dtype=torch.float64)
    mean = unitquat_to_rotmat(mean_of(rotmat_to_unitquat(axis_rotation(axis, angles))))
    middle = axis_rotation(axis, angles.mean())
    torch.testing.assert_close(mean, middle, atol=1e-7, rtol=0)


def test_the_mean_turns_with_its_rotations_from_the_left_and_from_the_right():
    rotmat = rotvec_to_rotmat(random_rotvecs(9, longest=1.2))
    turn = rotvec_to_rotmat(random_rotvecs(1, seed=5))[0]

    def mean(rotmats: Tensor) -> Tensor:
        return unitquat_to_rotmat(mean_of(rotmat_to_unitquat(rotmats)))

    torch.testing.assert_close(mean(turn @ rotmat), turn @ mean(rotmat))
    torch.testing.assert_close(mean(rotmat @ turn), mean(rotmat) @ turn)
    torch.testing.assert_close(mean(rotmat.transpose(1, 2)), mean(rotmat).T)


def test_two_against_one_by_hand():
    # twice the identity, once a quarter turn about z; on (z, w) the sum of q q^T is
    # [[1/2, 1/2], [1/2, 5/2]], whose larger eigenvalue (3 + sqrt 5) / 2 belongs to (1, 2 + sqrt 5)
    identity, quarter = [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, HALF, HALF]
    mean = mean_of(torch.tensor([identity, identity, quarter], dtype=torch.float64))
    half_angle = math.atan2(1.0, 2 + math.sqrt(5))
    expected = [0.0, 0.0, math.sin(half_angle), math.cos(half_angle)]
    assert mean.tolist() == pytest.approx(expected, abs=1e-12)
    assert math.degrees(2 * half_angle) == pytest.approx(26.565, abs=1e-3)


def test_moments_are_products_of_quaternions_and_linear_in_the_matrix():
    quat = rotmat_to_unitquat(rotvec_to_rotmat(random_rotvecs(24).double())).view(12, 2, 4)
    expected = quat[..., :, None] * quat[..., None, :]
    rotmats = unitquat_to_rotmat(quat)
    moments = moments_of_rotmats(rotmats.float())
    assert moments.dtype == torch.float64 and moments.shape == (12, 2, 4, 4)
    torch.testing.assert_close(moments, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(moments_of_rotmats(rotmats.mean(0)), expected.mean(0))
