"""Making images ends, whatever happens to its processes and to the disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deadly
import pytest
import torch

from pmnet.core.errors import InputError
from pmnet.images import making
from pmnet.images.options import Images

OPTIONS = Images(
    size_px=32,
    context=1.0,
    max_missing=0.0,
    upright=None,
    max_megapixels=200,
    encoding="raw",
    jpeg_quality=90,
    supersampling=1,
    variety=0.1,
    skin_share=0.0,
    seed=0,
)
JOBS = [slice(row, row + 1) for row in range(6)]


@pytest.fixture
def run(monkeypatch) -> Any:
    """Return a function that makes images in two processes by a function of `deadly`."""
    monkeypatch.setattr(making, "_start", deadly.no_start)

    def run_jobs(make: Any) -> Iterator[Any]:
        monkeypatch.setattr(making, "_make", make)
        setup = Path("samples"), Path("body"), OPTIONS, "test", torch.device("cpu")
        return making._run(JOBS, 2, setup)

    return run_jobs


def test_a_dead_worker_ends_the_work(run):
    with pytest.raises(InputError, match=r"was ended, probably for want of memory; set machine\.w"):
        list(run(deadly.die))


def test_a_disk_that_is_full_ends_the_work(run):
    made = run(deadly.count)
    assert next(made) == 1
    made.close()  # as an error of the writer does
    with pytest.raises(StopIteration):
        next(made)
