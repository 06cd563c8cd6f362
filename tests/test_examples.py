"""The examples run: they learn something in a few steps on a tiny data set."""

import importlib.util
import inspect
import sys

import pytest
import torch
from import_closure import ROOT
from tiny_world import draw_samples, write_world

import pmnet


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where inspect looks for the source
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("k", [1, 3])
def test_an_hmr_head_learns_with_and_without_prototypes(tmp_path, body, k):
    hmr = example("hmr_head")
    assert len(inspect.getsource(hmr.HMRHead).splitlines()) <= 30
    world = write_world(tmp_path, body)
    for kind, path in (("samples", world.samples), ("images", world.images)):
        (tmp_path / f"data/{kind}/train").mkdir(parents=True)
        path.rename(tmp_path / f"data/{kind}/train/open_train.arrow")
    data = hmr.OpenData(tmp_path, "train", "open_train")
    memory = pmnet.cluster_poses(draw_samples(body).body_params(), body, k)
    before, after = (hmr.train(data, memory, steps, batch=12) for steps in (1, 25))
    errors = [hmr.mpvpe_mm(model, data, body).mean() for model in (before, after)]
    assert errors[1] < 0.9 * errors[0]
    if k > 1:
        images = data.images(torch.arange(len(data.params)))
        chosen = after[1].start(after[0](images)).prototype
        assert (chosen == memory.assignments).float().mean() > 0.6
