"""`pmnet memory build`: the same memory from every file that holds the same poses."""

import numpy as np
import pytest
import torch
from bodies import random_bodies
from tiny_world import draw_samples
from typer.testing import CliRunner

import pmnet
from pmnet import cli
from pmnet.core.errors import InputError
from pmnet.dropin.poses import read_poses
from pmnet.memory.prototypes import PrototypeMemory


def build(*words):
    done = CliRunner().invoke(cli.app, ["memory", "build", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_samples_and_arrays_of_poses_give_the_memory_of_cluster_poses(tmp_path, body):
    samples = draw_samples(body)
    samples.save(tmp_path / "samples.arrow")
    params = samples.body_params()
    rotvecs = torch.cat([samples.global_orient, samples.body_pose], 1).numpy()
    betas = samples.betas.numpy()
    np.savez(tmp_path / "poses.npz", pose=rotvecs, betas=betas, body=np.array(body.sha256))
    np.savez(tmp_path / "matrices.npz", pose=params.rotmats.numpy(), betas=betas)
    expected = pmnet.cluster_poses(params, body, 3, max_iterations=1)
    printed = build(
        tmp_path / "samples.arrow",
        "--k",
        3,
        "--max-iterations",
        1,
        "--out",
        tmp_path / "memory.npz",
    )
    assert f"{len(params)} bodies -> 3 prototypes" in printed
    memory = PrototypeMemory.load(tmp_path / "memory.npz")
    assert torch.equal(memory.assignments, expected.assignments)
    for name in ("samples.arrow", "poses.npz", "matrices.npz"):
        given = read_poses([tmp_path / name], body)
        torch.testing.assert_close(given.params.rotmats, params.rotmats, atol=1e-5, rtol=0)
        torch.testing.assert_close(given.params.betas, params.betas)
    known = read_poses([tmp_path / "samples.arrow"], body)
    torch.testing.assert_close(known.camera, samples.camera.mean(0))


def test_a_folder_of_amass_is_seen_by_virtual_cameras(tmp_path, body):
    clips = tmp_path / "amass/subject"
    clips.mkdir(parents=True)
    for number in range(2):
        poses = np.zeros((20, 156))
        poses[:, 3:66] = random_bodies(20, number).rotvecs()[:, 1:22].reshape(20, 63)
        poses[:, 0] = np.pi / 2  # SMPL's rest pose has y up, AMASS z
        keys = {"gender": np.array("neutral"), "mocap_framerate": np.array(30.0)}
        np.savez(clips / f"{number}_poses.npz", poses=poses, betas=np.zeros(16), **keys)
    given = read_poses([tmp_path / "amass"], body)
    joints = body.joints(given.params)
    assert len(given.params) > 10
    assert (joints[:, 15, 1] < joints[:, 0, 1]).all()  # y is down: heads are above pelves


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"pose": np.zeros((4, 70))}, "'pose' is of shape"),
        ({"pose": np.full((4, 72), 90.0)}, "look like degrees"),
        ({"pose": np.full((4, 72), np.nan)}, "'pose' row 0 is NaN"),
        ({"pose": np.ones((4, 24, 3, 3))}, "no rotation matrices"),
        ({"pose": np.zeros((4, 72)), "betas": np.zeros((3, 10))}, "'betas'"),
        ({"pose": np.zeros((4, 72)), "body": np.array("other")}, "another body model"),
        ({"other": np.zeros(3)}, "no poses that pmnet can read"),
    ],
)
def test_wrong_poses_are_refused(tmp_path, body, arrays, fault):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=fault):
        read_poses([tmp_path / "x.npz"], body)


def test_more_prototypes_than_bodies_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", pose=np.zeros((4, 72)))
    words = [
        "memory",
        "build",
        str(tmp_path / "x.npz"),
        "--k",
        "5",
        "--out",
        str(tmp_path / "m.npz"),
    ]
    done = CliRunner().invoke(cli.app, words)
    assert isinstance(done.exception, InputError) and "--k 5" in str(done.exception)
