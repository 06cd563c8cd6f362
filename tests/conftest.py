"""What the tests share: one thread, and the open body read once."""

import gc

import pytest
import torch
from toy import Toy, finished_toy

from pmnet.body import OPEN_BODY, BodyModel

torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what was imported."""
    gc.freeze()


@pytest.fixture(scope="session")
def body() -> BodyModel:
    """Return the open body."""
    return BodyModel.load(OPEN_BODY)


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """Return a tiny project after one run of its whole graph; tests leave it as it is."""
    return finished_toy(tmp_path_factory.mktemp("toy"))
