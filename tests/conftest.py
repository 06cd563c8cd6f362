"""What the tests share: one thread, and the open body read once."""

import pytest
import torch

from pmnet.body import OPEN_BODY, BodyModel

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def body() -> BodyModel:
    """Return the open body."""
    return BodyModel.load(OPEN_BODY)
