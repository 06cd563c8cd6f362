"""The pose prior, and the rotations that it is made of."""

import pytest
import torch
from bodies import random_bodies
from fitted import poses

from pmnet.body.parts import mirror_rotmats
from pmnet.body.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.fitting.prior import learn_prior
from pmnet.fitting.rotating import log, nearest_rotation, slope_of


def test_the_logarithm_and_its_slope():
    vectors = torch.randn(300, 3, dtype=torch.float64)
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * torch.linspace(0, 3.1, 300)[:, None]
    rotmats = rotvec_to_rotmat(vectors)
    assert torch.allclose(log(rotmats), vectors, atol=1e-7)
    step = 1e-6
    for axis in range(3):
        small = torch.zeros(300, 3, dtype=torch.float64)
        small[:, axis] = step
        moved = (log(rotmats @ rotvec_to_rotmat(small)) - vectors) / step
        assert torch.allclose(slope_of(vectors)[..., axis], moved, atol=1e-3)


def test_the_nearest_rotation_is_no_mirror_image():
    rotations = random_bodies(20).rotmats
    assert torch.allclose(nearest_rotation(3 * rotations), rotations, atol=1e-5)
    made = nearest_rotation(rotations @ torch.diag(torch.tensor([3.0, 2.0, -1.0])))
    assert torch.allclose(torch.linalg.det(made), torch.ones(20, 24), atol=1e-5)


def test_a_prior_knows_the_spread_of_its_poses():
    generator = torch.Generator().manual_seed(0)
    vectors = 0.2 * torch.randn(4000, 23, 3, generator=generator)
    prior = learn_prior(rotvec_to_rotmat(vectors), 0.0)
    assert rotmat_to_rotvec(prior.mean_pose).abs().max() < 0.02
    spread = torch.linalg.inv(prior.precision).diagonal().sqrt()
    assert torch.allclose(spread, torch.full((69,), 0.2), rtol=0.1)
    assert (prior.high > 0.5).all() and (prior.low < -0.5).all()


def test_prototypes_take_the_place_of_the_mean():
    generator = torch.Generator().manual_seed(0)
    middle = 0.4 * torch.randn(2, 23, 3, generator=generator)
    around = middle.repeat_interleave(300, 0) + 0.05 * torch.randn(600, 23, 3, generator=generator)
    middle[:, :2], around[:, :2] = 0, 0  # poses are mirrored too: keep the hips alike
    means = rotvec_to_rotmat(middle)
    both = torch.cat([means, mirror_rotmats(torch.cat([means[:, :1], means], 1))[:, 1:]])
    prior = learn_prior(rotvec_to_rotmat(around), 0.01, both)
    assert prior.nearest(both).tolist() == [0, 1, 2, 3]
    alone = learn_prior(rotvec_to_rotmat(around), 0.01)
    spread, one_spread = (
        torch.linalg.inv(p.precision).diagonal()[6:].mean().sqrt() for p in (prior, alone)
    )
    assert spread < 0.06 < 0.2 < one_spread


def test_few_poses_make_no_prior():
    with pytest.raises(InputError, match="100 poses or more, and was given 99"):
        learn_prior(poses(99).rotmats[:, 1:], 0.05)
