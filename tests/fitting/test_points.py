"""Points are where the body model puts them, whatever they are made of; their derivatives are right."""

import numpy as np
import pytest
import torch
from bodies import random_bodies
from people import open_body

from pmnet.body import BodyModel, BodyParams
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.fitting.jacobian import PointJacobian
from pmnet.fitting.points import (
    joint_points,
    regressed_points,
    rest_normals,
    vertex_normals,
    vertex_points,
)

VERTICES = [10, 411, 3500, 5900, 6800]


@pytest.fixture(scope="module")
def double() -> BodyModel:
    return open_body().double_precision()


def test_vertices_joints_and_regressed_joints_are_those_of_the_body(double):
    params = random_bodies(4).to(torch.float64)
    vertices = double.vertices(params)
    points = vertex_points(double, [str(v) for v in VERTICES], VERTICES)
    assert torch.allclose(points.posed(double, params), vertices[:, VERTICES], atol=2e-4)
    assert torch.allclose(joint_points(double).posed(double, params), double.joints(params))
    regressor = torch.zeros(2, 6890, dtype=torch.float64)
    regressor[0, :400], regressor[1, 3000:3100] = 1 / 400, 0.01
    made = regressed_points(double, ("a", "b"), regressor).posed(double, params)
    assert torch.allclose(made, regressor @ vertices, atol=2e-4)


def test_a_selection_and_a_shift_of_points(double):
    params = random_bodies(3).to(torch.float64)
    points = vertex_points(double, [str(v) for v in VERTICES], VERTICES)
    some = points.select([3, 1])
    assert some.names == ("5900", "411")
    assert torch.allclose(some.posed(double, params), points.posed(double, params)[:, [3, 1]])
    still = BodyParams(torch.eye(3).double().expand(1, 24, 3, 3), torch.zeros(1, 10).double())
    shift = torch.randn(5, 3, dtype=torch.float64)
    moved = points.moved(shift).posed(double, still) - points.posed(double, still)
    assert torch.allclose(moved[0], shift)


def test_derivatives_are_those_of_finite_differences():
    """Without pose correctives, which the derivative leaves out on purpose."""
    arrays = dict(open_body()._arrays)
    body = BodyModel({**arrays, "posedirs": np.zeros_like(arrays["posedirs"])}).double_precision()
    params = random_bodies(2).to(torch.float64)
    jacobian = PointJacobian(body, vertex_points(body, [str(v) for v in VERTICES], VERTICES))
    at = jacobian.forward(params)
    by_motion = jacobian.by_motion(at).unflatten(2, (3, -1))
    step = 1e-6
    for column, joint in enumerate(jacobian.active.tolist()):
        for axis in range(3):
            own = at.rotations[:, joint, axis] * step  # the world increment in the joint's frame
            rotmats = params.rotmats.clone()
            rotmats[:, joint] = rotmats[:, joint] @ rotvec_to_rotmat(own)
            moved = jacobian.forward(BodyParams(rotmats, params.betas)).points
            expected = ((moved - at.points) / step).mT
            assert torch.allclose(by_motion[:, 3 * column + axis], expected, atol=1e-4)
    by_shape = jacobian.by_shape(at).unflatten(2, (3, -1))
    for beta in range(10):
        betas = params.betas.clone()
        betas[:, beta] += step
        moved = jacobian.forward(BodyParams(params.rotmats, betas)).points
        assert torch.allclose(by_shape[:, beta], ((moved - at.points) / step).mT, atol=1e-6)


def test_normals_point_outwards():
    body = open_body()
    rest = body.rest_shape()[0].T
    normals = rest_normals(body)
    assert torch.allclose(normals, vertex_normals(rest[None], body.faces)[0])
    assert normals[rest[:, 1].argmax(), 1] > 0.9 and normals[rest[:, 0].argmax(), 0] > 0.5
