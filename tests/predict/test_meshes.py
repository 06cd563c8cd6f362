"""Meshes and motions: what is read back is what was predicted."""

import json
import struct

import numpy as np
import pytest
import torch
from bodies import random_bodies
from glb import skinned_vertices

from pmnet.body import BodyParams
from pmnet.core.errors import InputError
from pmnet.datasets.amass.clips import read_motion
from pmnet.predict.gltf import write_plain_glb, write_skinned_glb
from pmnet.predict.meshes import TO_VIEWER, read_obj, write_obj
from pmnet.predict.motion import TO_WORLD, PersonMotion, write_amass

MICRO = 1e-5


@pytest.fixture(scope="module")
def exact(body):
    return body.double_precision()


def placed(exact, params, translation):
    """Return vertices as a viewer sees them, in float64."""
    doubled = BodyParams(params.rotmats.double(), params.betas.double())
    return (exact.vertices(doubled).numpy() + translation[:, None]) * TO_VIEWER


def test_obj_round_trip(tmp_path, body):
    vertices, faces = body.vertices(random_bodies(1))[0].numpy(), body.faces.numpy()
    write_obj(tmp_path / "x.obj", vertices, faces)
    points, triangles = read_obj(tmp_path / "x.obj")
    np.testing.assert_allclose(points, vertices, atol=1e-6)
    assert np.array_equal(triangles, faces)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no vertices"),
        ("v 1 2\n", "line 1"),
        ("v 1 2 x\n", "line 1"),
        ("v 0 0 0\nf 1 1 2\n", "a vertex that is not there"),
        ("v 0 0 0\nf 1 1 1 1\n", "line 2"),
    ],
)
def test_broken_objs_are_refused(tmp_path, text, fault):
    (tmp_path / "x.obj").write_text(text)
    with pytest.raises(InputError, match=fault):
        read_obj(tmp_path / "x.obj")


def test_the_mesh_turns_by_half_a_turn_and_stays_outside_out(exact):
    (vertices,), faces = placed(exact, random_bodies(1), np.zeros((1, 3))), exact.faces.numpy()
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    assert np.einsum("fi,fi->f", a, np.cross(b, c)).sum() > 0  # six times the volume


def test_a_skinned_glb_has_the_vertices_of_the_prediction(tmp_path, exact):
    params, translation = random_bodies(1), np.array([[0.3, -0.2, 41.0]])
    write_skinned_glb(tmp_path / "x.glb", exact, params, translation, np.zeros(1))
    found = skinned_vertices(tmp_path / "x.glb", 0.0)
    np.testing.assert_allclose(found, placed(exact, params, translation)[0], atol=MICRO)


def test_a_motion_has_the_vertices_of_each_frame(tmp_path, exact):
    params = random_bodies(7)
    params = BodyParams(params.rotmats, params.betas[:1].expand(7, -1))
    translation = np.random.default_rng(0).normal(0, 1, (7, 3)) + np.array([0, 0, 20])
    times = np.arange(7) / 25
    write_skinned_glb(tmp_path / "x.glb", exact, params, translation, times)
    expected = placed(exact, params, translation)
    for frame in (0, 3, 6):
        found = skinned_vertices(tmp_path / "x.glb", times[frame])
        np.testing.assert_allclose(found, expected[frame], atol=MICRO)


def test_a_still_motion_needs_no_morph_targets(tmp_path, exact):
    one = random_bodies(1)
    params = BodyParams(one.rotmats.expand(5, -1, -1, -1), one.betas.expand(5, -1))
    write_skinned_glb(tmp_path / "x.glb", exact, params, np.ones((5, 3)), np.arange(5) / 10)
    content = (tmp_path / "x.glb").read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    assert "targets" not in document["meshes"][0]["primitives"][0]
    assert len(document["animations"][0]["channels"]) == 25


def test_a_plain_glb_stands_at_its_translation(tmp_path, exact):
    params, translation = random_bodies(1), np.array([[0.3, -0.2, 800.0]])
    vertices = exact.vertices(BodyParams(params.rotmats.double(), params.betas.double()))[0].numpy()
    write_plain_glb(tmp_path / "x.glb", vertices, exact.faces.numpy(), translation[0])
    found = skinned_vertices(tmp_path / "x.glb", 0.0)
    np.testing.assert_allclose(found, placed(exact, params, translation)[0], atol=MICRO)


def test_amass_files_are_read_by_our_adapter(tmp_path, body):
    params = random_bodies(5)
    params = BodyParams(params.rotmats, params.betas[:1].expand(5, -1))
    translation = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).numpy()
    names = [f"{frame}.png" for frame in range(5)]
    motion = PersonMotion(0, np.arange(5), params, translation, names)
    write_amass(tmp_path / "person_0_poses.npz", motion, 25.0, body)
    clip = read_motion(tmp_path / "person_0_poses.npz")
    assert clip.gender == "neutral" and float(clip.rate_hz) == 25.0
    np.testing.assert_allclose(clip.betas, params.betas[0], atol=1e-6)
    full = torch.zeros(5, 24, 3)
    full[:, :22] = torch.from_numpy(clip.poses).float().view(5, 22, 3)
    read = BodyParams.from_rotvecs(full, params.betas)
    trans = torch.from_numpy(np.load(tmp_path / "person_0_poses.npz")["trans"])
    hands_at_rest = params.rotmats.clone()
    hands_at_rest[:, 22:] = torch.eye(3)
    ours = (
        body.vertices(BodyParams(hands_at_rest, params.betas))
        + torch.from_numpy(translation)[:, None]
    )
    expected = ours @ torch.tensor(TO_WORLD).T
    torch.testing.assert_close(body.vertices(read) + trans[:, None], expected, atol=MICRO, rtol=0)
