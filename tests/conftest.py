"""What the tests share: one thread, the open body read once, and the order of their files.

pytest-xdist gives a process whole files, and all that need the toy: one process makes it, once. Whole graphs
take the longest, so they begin.
"""

import gc

import pytest
import torch
from toy import Toy, finished_toy

from pmnet.body import OPEN_BODY, BodyModel

torch.set_num_threads(1)
GRAPHS = ("test_toy", "test_edits", "test_dvc_day", "test_paper_graph", "test_plots_page")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the graphs first, and mark which tests one process runs."""
    for item in items:
        needs_toy = "toy" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("toy" if needs_toy else str(item.path)))
    items.sort(key=lambda item: item.path.stem not in GRAPHS)


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
