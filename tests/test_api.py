"""The public API: it is small, imported when it is used, and gives what the stages give."""

import ast
import inspect
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest
import torch
from bodies import random_bodies
from import_closure import ROOT
from tiny_world import CLUSTER, draw_samples, write_world

import pmnet
from pmnet.clustering.options import Cluster
from pmnet.core import params
from pmnet.memory.prototypes import PrototypeMemory


def test_importing_pmnet_imports_nothing_slow():
    code = (
        "import pmnet, sys; print(sorted({'torch', 'numpy', 'typer', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there():
    assert set(pmnet.__all__) <= set(dir(pmnet))
    for name in pmnet.__all__:
        assert getattr(pmnet, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = pmnet.Nothing


def test_editors_see_the_names_that_python_imports():
    tree = ast.parse((ROOT / "pmnet/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {n.names[0].asname: n.module for n in block.body if isinstance(n, ast.ImportFrom)}
    assert seen == pmnet._HOMES
    assert (ROOT / "pmnet/py.typed").is_file()


def test_the_version_is_the_one_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pmnet.__version__ == project["version"]


def test_the_defaults_of_cluster_poses_are_the_papers():
    paper = params.load(ROOT / "paper/params.yaml", "cluster", Cluster, {})
    parameters = inspect.signature(pmnet.cluster_poses).parameters.items()
    defaults = {name: p.default for name, p in parameters if p.default is not p.empty}
    defaults["part_weights"] = defaults.pop("other_weights")
    assert defaults.pop("cache_gib") > 0
    assert Cluster(**defaults, single=paper.single) == paper


def test_cluster_poses_finds_the_memory_of_the_cluster_stage(tmp_path, body):
    samples = draw_samples(body)
    stage = PrototypeMemory.load(write_world(tmp_path, body, samples).memory)
    memory = pmnet.cluster_poses(
        samples.body_params(), body, CLUSTER.k, max_iterations=CLUSTER.max_iterations
    )
    assert torch.equal(memory.assignments, stage.assignments)
    assert torch.equal(memory.distances, stage.distances)
    assert torch.equal(memory.prototypes.betas, stage.prototypes.betas)
    torch.testing.assert_close(
        memory.prototypes.rotmats, stage.prototypes.rotmats, atol=1e-6, rtol=0
    )
    assert (memory.history, memory.settings) == (stage.history, stage.settings)
    memory.save(tmp_path / "own.npz")
    assert PrototypeMemory.load(tmp_path / "own.npz").sizes.tolist() == stage.sizes.tolist()


def test_the_nearest_prototype_is_the_one_of_the_smallest_distance(body):
    poses, others = random_bodies(40), random_bodies(15, seed=7)
    memory = pmnet.cluster_poses(poses, body, k=6, max_iterations=3)
    assert torch.equal(pmnet.nearest_prototypes(memory, poses, body), memory.assignments)
    double, dtype = body.double_precision(), torch.float64
    weights = memory.vertex_weights.to(dtype)[:, None]
    weighted = [
        (double.vertices(some.to(dtype)) * weights).flatten(1)
        for some in (others, memory.prototypes)
    ]
    brute_force = torch.cdist(*weighted, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert torch.equal(pmnet.nearest_prototypes(memory, others, body), brute_force)


def test_input_that_cannot_be_clustered_is_refused(body):
    poses = random_bodies(5)
    with pytest.raises(pmnet.InputError, match=r"6.*5"):
        pmnet.cluster_poses(poses, body, k=6)
    broken = replace(poses, betas=poses.betas.clone().fill_(torch.nan))
    with pytest.raises(pmnet.InputError, match="NaN"):
        pmnet.cluster_poses(broken, body, k=2)
    memory = pmnet.cluster_poses(poses, body, k=2, max_iterations=1)
    with pytest.raises(
        pmnet.InputError, match=r"nearest_prototypes: .* of body 0 .* 5 of 5 bodies"
    ):
        pmnet.nearest_prototypes(memory, broken, body)
    memory = replace(memory, body="other")
    with pytest.raises(pmnet.InputError, match="another body model"):
        pmnet.nearest_prototypes(memory, poses, body)
