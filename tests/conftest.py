"""What the tests share: one thread, and the open body read once."""

import copy
import gc
from pathlib import Path

import pytest
import torch
from toy import Toy, finished_toy

from pmnet.body import OPEN_BODY, BodyModel

torch.set_num_threads(1)
gc.disable()  # a fifth of the time of the imports that follow


def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what was imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def bodies_read_once():
    """Let each file of a body be read once: BodyModel.load then returns a copy of its own."""
    load, known = BodyModel.load, {}

    def load_once(path: Path) -> BodyModel:
        if not path.is_file():
            return load(path)
        state = path.stat()
        key = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
        if key not in known:
            known[key] = load(path)
        body = known[key]
        return copy.deepcopy(body, {id(body._arrays): body._arrays})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BodyModel, "load", staticmethod(load_once))
        yield


@pytest.fixture(scope="session")
def body() -> BodyModel:
    """Return the open body."""
    return BodyModel.load(OPEN_BODY)


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """Return a tiny project after one run of its whole graph; tests leave it as it is."""
    return finished_toy(tmp_path_factory.mktemp("toy"))
