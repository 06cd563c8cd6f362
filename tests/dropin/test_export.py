"""`pmnet memory export`: one body, a stack, plain arrays; SPIN's reader reads them back."""

import numpy as np
import pytest
import torch
from tiny_run import memory_of
from typer.testing import CliRunner

from pmnet import cli
from pmnet.core.errors import InputError
from pmnet.dropin.export import export_memory
from pmnet.dropin.poses import read_poses
from pmnet.memory.spin import import_spin


def test_a_stack_and_one_body_come_back(tmp_path, body):
    memory = memory_of(body, 3)
    memory.save(tmp_path / "memory.npz")
    words = ["memory", "export", tmp_path / "memory.npz", "--out", tmp_path / "stack.npz"]
    done = CliRunner().invoke(cli.app, [*map(str, words), "--to", "spin-stack"])
    assert done.stdout == f"3 prototypes -> {tmp_path / 'stack.npz'}\n"
    stack = import_spin(tmp_path / "stack.npz", body)
    torch.testing.assert_close(stack.prototypes.rotmats, memory.prototypes.rotmats)
    torch.testing.assert_close(stack.camera, memory.camera)
    export_memory(memory, "spin", tmp_path / "one.npz", prototype=2)
    assert np.load(tmp_path / "one.npz")["pose"].shape == (144,)
    one = import_spin(tmp_path / "one.npz", body)
    torch.testing.assert_close(one.prototypes.rotmats, memory.prototypes.rotmats[2:])


def test_plain_arrays_are_poses_again(tmp_path, body):
    memory = memory_of(body, 3)
    assert export_memory(memory, "npz", tmp_path / "plain.npz") == 3
    values = np.load(tmp_path / "plain.npz")
    assert values["count"].tolist() == [2, 2, 2]
    scale, x, y = memory.camera.tolist()
    assert values["camera"].tolist() == pytest.approx([scale, x / scale, y / scale])
    again = read_poses([tmp_path / "plain.npz"], body).params
    torch.testing.assert_close(again.rotmats, memory.prototypes.rotmats, atol=1e-5, rtol=0)


def test_one_of_many_has_to_be_named(tmp_path, body):
    memory = memory_of(body, 3)
    with pytest.raises(InputError, match="3 prototypes, and SPIN's file one: give --prototype"):
        export_memory(memory, "spin", tmp_path / "x.npz")
    with pytest.raises(InputError, match="expected 0 to 2"):
        export_memory(memory, "spin", tmp_path / "x.npz", prototype=3)
    assert not list(tmp_path.iterdir())
