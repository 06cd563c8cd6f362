"""The vertices of many bodies are those of the body model."""

import torch
from bodies import random_bodies

from pmnet.body.posing import many_vertices


def test_vertices_of_many_bodies_are_those_of_the_model(body):
    params = random_bodies(300, 1, 0.6)
    assert torch.allclose(many_vertices(body, params), body.vertices(params), atol=2e-6, rtol=0)


def test_no_body_has_no_vertices(body):
    assert many_vertices(body, random_bodies(0)).shape == (0, len(body.parts), 3)
