"""Several files of images as one, read in any order."""

import multiprocessing

import pytest
import torch

from pmnet.images.file import Pixels, encode, write_pixels
from pmnet.images.store import ImageStore, feed, loaded

SIZE_PX = 16


def write(path, n: int, seed: int, encoding: str) -> Pixels:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, SIZE_PX, SIZE_PX), generator=generator).to(torch.uint8)
    write_pixels(path, [encode(images, encoding, 95)], SIZE_PX, encoding)
    return Pixels(path)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_two_files_are_read_as_one(tmp_path, encoding):
    one = write(tmp_path / "one.arrow", 5, 0, encoding)
    two = write(tmp_path / "two.arrow", 3, 1, encoding)
    store = ImageStore([one, two])
    whole = torch.cat([part.read(torch.arange(len(part))) for part in (one, two)])
    rows = torch.tensor([0, 4, 5, 7, 3])
    assert len(store) == 8 and store.present.all()
    assert torch.equal(store.read(rows).permute(0, 3, 1, 2), whole[rows])
    assert store.gib == pytest.approx(8 * SIZE_PX**2 * 3 / 2**30)


def test_batches_come_in_order_with_their_rows(tmp_path):
    store = ImageStore([write(tmp_path / "one.arrow", 6, 0, "raw")])
    order = [torch.tensor([3, 1]), torch.tensor([5, 0])]
    found = list(feed(store, order, torch.device("cpu"), 1, 1.0))
    for (rows, images), expected in zip(found, order, strict=True):
        assert torch.equal(rows, expected) and torch.equal(images, store.read(expected))


@pytest.fixture(params=["fork", "spawn"])
def usual_start(request):
    """How this process starts others by default, which it may have from its parent."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("usual_start")
def test_processes_read_the_same_batches_ahead_and_leave_the_random_numbers_alone(tmp_path):
    store = ImageStore([write(tmp_path / "one.arrow", 9, 0, "jpeg")])
    order = [torch.tensor([3, 1]), torch.tensor([5, 0]), torch.tensor([8]), torch.tensor([2, 2])]
    before = torch.get_rng_state()
    found = list(loaded(store, order, 2, pinned=False))
    assert torch.equal(torch.get_rng_state(), before)
    for (rows, images), expected in zip(found, order, strict=True):
        assert torch.equal(rows, expected) and torch.equal(images, store.read(expected))
