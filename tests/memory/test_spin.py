"""SPIN's mean body: read back as it was written, refused where it is another file, used where it is named."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from bodies import random_bodies
from tiny_network import memory_of
from tiny_world import CLUSTER, MACHINE, OPTIONS, evaluating, write_world
from typer.testing import CliRunner

from pmnet.body import OPEN_BODY, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.body.rotations import axis_rotation, rotvec_to_rotmat
from pmnet.cli import app
from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.clustering.single import heading_gap, warn_of_headings
from pmnet.core import checkpoints
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.needs import check_mean
from pmnet.evaluation.prediction import turned_to
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spin import import_spin, read_mean
from pmnet.report.describe import describe


@pytest.fixture
def spin(tmp_path):
    """Return SPIN's file for a random body."""
    memory_of(1).export_spin(tmp_path / "smpl_mean_params.npz")
    return tmp_path / "smpl_mean_params.npz"


def test_what_is_exported_is_imported(spin, tmp_path, body):
    assert {key: a.shape for key, a in np.load(spin).items()} == {
        "pose": (144,),
        "shape": (10,),
        "cam": (3,),
    }
    memory, original = import_spin(spin, body), memory_of(1)
    torch.testing.assert_close(memory.prototypes.rotmats, original.prototypes.rotmats)
    torch.testing.assert_close(memory.prototypes.betas, original.prototypes.betas)
    torch.testing.assert_close(memory.camera, original.camera)
    assert memory.body == body.sha256 and len(memory.assignments) == 0
    memory_of(3).export_spin(tmp_path / "three.npz")
    assert len(import_spin(tmp_path / "three.npz", body)) == 3


def test_the_columns_are_interleaved_as_spin_reads_them(spin, body):
    """SPIN: view(24, 3, 2), a1 = [..., 0], a2 = [..., 1]."""
    columns = np.load(spin)["pose"].reshape(24, 3, 2)
    found = import_spin(spin, body).prototypes.rotmats[0].numpy()
    np.testing.assert_allclose(found[:, :, :2], columns, atol=1e-6)


def test_the_command_writes_a_memory_that_can_be_used(spin, tmp_path, body):
    out = tmp_path / "mean.npz"
    done = CliRunner().invoke(
        app, ["memory", "import", str(spin), "--out", str(out), "--body", str(OPEN_BODY)]
    )
    assert done.exit_code == 0, done.output
    mean = read_mean(out, body, "evaluate.mean")
    direct = read_mean(spin, body, "evaluate.mean")
    torch.testing.assert_close(mean.rotmats, direct.rotmats, atol=1e-6, rtol=0)
    assert any("1 prototypes" in line for line in describe(out))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pose": np.zeros(72)}, r"'pose' is float64 \(72,\); expected 144 finite numbers"),
        ({"shape": np.full(10, np.nan)}, "'shape' is float64"),
        ({"cam": None}, "has no cam"),
        (
            {"pose": "shuffled"},
            "'pose' row 0 holds no rotations; expected 24 x 6 numbers in SPIN's",
        ),
        ({"pose": np.zeros((2, 144))}, "different numbers of rows"),
    ],
)
def test_another_file_is_refused(spin, body, changed, message):
    values = dict(np.load(spin)) | changed
    if isinstance(values["pose"], str):  # the columns one after the other: a known trap
        values["pose"] = np.load(spin)["pose"].reshape(24, 3, 2).swapaxes(1, 2).ravel()
    np.savez(spin, **{key: a for key, a in values.items() if a is not None})
    with pytest.raises(InputError, match=message) as refused:
        import_spin(spin, body)
    assert str(refused.value).startswith(f"{spin}: ")


def test_a_missing_mean_file_is_named_with_its_source_and_parameter(tmp_path, body):
    missing = tmp_path / "smpl_mean_params.npz"
    for ask in (
        lambda: check_mean(missing, "params.yaml: evaluate.mean"),
        lambda: read_mean(missing, body, "params.yaml: evaluate.mean"),
    ):
        with pytest.raises(InputError) as refused:
            ask()
        for words in (str(missing), "SPIN's data.tar.gz (fetch_data.sh)", "params.yaml: evaluate"):
            assert words in str(refused.value)


def test_a_memory_of_more_prototypes_is_no_mean(tmp_path, body):
    replace(memory_of(3), body=body.sha256).save(tmp_path / "three.npz")
    with pytest.raises(InputError, match=r"evaluate\.mean: .*three\.npz holds 3 prototypes"):
        read_mean(tmp_path / "three.npz", body, "evaluate.mean")


def test_the_baseline_can_start_from_it_and_distances_be_measured_to_it(spin, tmp_path, body):
    world = write_world(tmp_path, body)
    samples = Samples.load(world.samples)
    options = replace(CLUSTER, k=1, single=str(spin))
    request = MemoryRequest([world.samples], OPEN_BODY, options, "vertex", "flat", 0.1)
    memory = build_memory(request)
    given = import_spin(spin, body)
    assert torch.equal(memory.prototypes.rotmats, given.prototypes.rotmats)
    assert torch.equal(memory.camera, given.camera)
    assert memory.assignments.tolist() == [0] * len(samples)
    gaps = body.vertices(samples.body_params()) - body.vertices(given.prototypes)
    torch.testing.assert_close(memory.distances, gaps.flatten(1).norm(dim=1), rtol=1e-4, atol=1e-4)
    assert memory.settings["single"] == str(spin)
    memory.save(world.single)
    world = replace(world, memory=world.single)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", tmp_path / "work")
        world.train(tmp_path / "train", replace(OPTIONS, steps=1))
    files = world.memory, tmp_path / "train", OPEN_BODY, [0]
    errors = Evaluator.load(*files, evaluating(spin), MACHINE).errors(world.samples, world.images)
    rows = errors[errors["inference"] == "mean"]
    expected = gaps.norm(dim=2).mean(1) * 1000
    assert rows["distance_to_mean_mm"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_memory_of_the_mean_is_as_before(tmp_path, body):
    """What the default graph writes does not know of the parameter."""
    world = write_world(tmp_path, body)
    assert "single" not in PrototypeMemory.load(world.single).settings


# --- headings


def headings(angles: torch.Tensor) -> torch.Tensor:
    """Return upright bodies before the camera, turned about the vertical axis."""
    upright = rotvec_to_rotmat(torch.tensor([math.pi, 0.0, 0.0]))
    return axis_rotation(1, angles) @ upright


def test_uniform_headings_have_no_mean_and_the_stage_says_so(capsys):
    uniform = headings(torch.linspace(0, 2 * math.pi, 361)[:-1])
    assert heading_gap(uniform) < 1e-6
    warn_of_headings(uniform)
    said = capsys.readouterr().err
    assert "ill-defined" in said and "evaluate.distance: heading_free" in said
    frontal = headings(torch.linspace(-0.5, 0.5, 100))
    assert heading_gap(frontal) > 0.8
    warn_of_headings(frontal)
    assert capsys.readouterr().err == ""


def test_the_heading_free_distance_does_not_see_the_heading(body):
    bodies, mean = random_bodies(5), random_bodies(1, seed=1)
    turned = bodies.rotmats.clone()
    turned[:, 0] = axis_rotation(1, torch.linspace(-3, 3, 5)) @ turned[:, 0]
    still = body.vertices(mean)
    found = []
    for params in (bodies, BodyParams(turned, bodies.betas)):
        vertices = body.vertices(params)
        # SMPL turns about its pelvis: bring it to the axis, so that only the heading differs
        vertices = vertices - body.joints(params)[:, :1]
        found.append(mean_distance_mm(vertices, turned_to(vertices, still)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-2)


def test_the_turn_is_the_best_one_and_undoes_a_heading(body):
    still = body.vertices(random_bodies(1))
    turned = still @ axis_rotation(1, torch.tensor([2.0, -1.0])).mT
    assert mean_distance_mm(turned, turned_to(turned, still)).max() < 1e-2
    vertices = body.vertices(random_bodies(3, seed=2))
    best = (vertices - turned_to(vertices, still)).square().sum((1, 2))
    for angle in torch.linspace(0, 6.2, 63):
        tried = still @ axis_rotation(1, angle).mT
        assert ((vertices - tried).square().sum((1, 2)) > best * (1 - 1e-5)).all()
