"""Work ahead by processes: in order, and one clear error."""

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from pmnet.core.ahead import ahead
from pmnet.core.errors import InputError
from pmnet.predict.pipeline import PROCESS_PIECE, PictureSource, piece_of_processes


def refuse_two(number: int) -> torch.Tensor:
    if number == 2:
        raise InputError("two.jpg: is damaged")
    return torch.full((3,), number)


def end_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order_and_an_error_as_it_was_said():
    results = ahead(refuse_two, [0, 1, 3, 2, 4], 2, "--readers")
    assert [next(results).tolist() for _ in range(3)] == [[0] * 3, [1] * 3, [3] * 3]
    with pytest.raises(InputError, match=r"^two\.jpg: is damaged$"):
        next(results)


def test_a_process_that_is_ended_is_one_error_with_the_option_to_change():
    with pytest.raises(InputError, match=r"was ended.*set --readers to a smaller number"):
        list(ahead(end_at_two, range(5), 1, "--readers"))


def test_a_fault_of_the_work_itself_keeps_its_words():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(ahead(lambda _: torch.zeros(2, 3) @ torch.zeros(2, 3), [0], 0, "--readers"))


def test_processes_cut_the_same_pictures(tmp_path):
    draws = np.random.default_rng(0)
    for number in range(5):
        pixels = draws.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_text("no picture")
    source = PictureSource(tmp_path, None, 16)
    pieces = [["0.png", "1.png"], ["2.png", "5.png"], ["5.png"], ["3.png", "4.png"]]
    for found, piece in zip(ahead(source.cut, pieces, 2, "--readers"), pieces, strict=True):
        expected = source.cut(piece)
        assert torch.equal(found.crops, expected.crops)
        for seen, own in zip(found.pictures, expected.pictures, strict=True):
            assert seen[:2] == own[:2] and seen.problems == own.problems
            assert np.array_equal(seen.people.squares, own.people.squares)


@pytest.mark.parametrize(
    ("pictures", "readers", "size_px", "expected"),
    [
        (0, 16, 64, 1),
        (4000, 16, 64, 62),
        (4000, 64, 64, 62),
        (10**6, 4, 64, 128),
        (10**6, 4, 224, 66),
    ],
)
def test_few_pictures_are_shared_among_all_processes(pictures, readers, size_px, expected):
    size = piece_of_processes(pictures, readers, size_px)
    assert size == expected <= PROCESS_PIECE
