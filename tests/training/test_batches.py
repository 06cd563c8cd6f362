"""Batches mixed from data sets by shares: resumed exactly, as large as said, refused by name."""

import pytest
import torch

from pmnet.core.errors import InputError
from pmnet.training.batches import Group, drawn_batches, inverse_frequency, shares_of

GROUPS = [torch.arange(10), torch.arange(10, 1010), torch.arange(2000, 2100)]
SIZES = {"a": 10, "b": 1000, "c": 100}


def drawn(shares: list[float], seed: int = 4, first: int = 0, last: int = 40) -> list[torch.Tensor]:
    groups = [Group(rows) for rows in GROUPS]
    return list(drawn_batches(groups, torch.tensor(shares), 50, seed, first, last))


def test_a_step_has_the_same_rows_wherever_one_starts():
    whole = drawn([0.5, 0.3, 0.2], last=9)
    for first in range(9):
        rest = drawn([0.5, 0.3, 0.2], first=first, last=9)
        assert all(torch.equal(a, b) for a, b in zip(whole[first:], rest, strict=True))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], drawn([0.5, 0.3, 0.2], seed=5, last=1)[0])


def test_each_group_gets_its_share_and_all_its_rows_their_turn():
    rows = torch.cat(drawn([0.5, 0.3, 0.2]))
    share = torch.stack([torch.isin(rows, group).float().mean() for group in GROUPS])
    assert share.sum() == pytest.approx(1)
    torch.testing.assert_close(share, torch.tensor([0.5, 0.3, 0.2]), atol=0.04, rtol=0)
    counts = torch.bincount(rows[rows < 10], minlength=10)
    assert counts.min() > 60 and counts.max() < 140  # of 1000
    assert not torch.isin(torch.cat(drawn([0.0, 0.5, 0.5])), GROUPS[0]).any()


def test_the_rest_is_shared_by_size():
    assert shares_of({"a": 0.3}, SIZES).tolist() == pytest.approx([0.3, 0.7 / 1.1, 0.07 / 1.1])
    named = shares_of({"b": 0.5, "a": 0.25, "c": 0.25}, SIZES)
    assert named.tolist() == [0.25, 0.5, 0.25]
    assert shares_of({"a": 1.0}, SIZES).tolist() == [1, 0, 0]
    assert shares_of({"a": 0.1, "b": 0.2, "c": 0.7}, SIZES).sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ({"d": 0.3}, "train.mix: d is none of the data sets to train on: a, b, c"),
        ({"a": 0.6, "b": 0.5}, "sum to 1.1"),
        ({"a": -0.1}, "share of a is -0.1"),
        ({"a": 0.2, "b": 0.2, "c": 0.2}, "sum to 0.6; give at most 1, and 1 where all are named"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(mix, words):
    with pytest.raises(InputError, match=words):
        shares_of(mix, SIZES)


def test_a_data_set_without_a_usable_sample_cannot_be_mixed_in():
    with pytest.raises(InputError, match=r"e is none of the data sets to train on: a, b, c$"):
        shares_of({"e": 0.3}, SIZES | {"e": 0})


def test_rare_kinds_are_drawn_as_often_as_common_ones():
    kinds = torch.tensor([0] * 90 + [2] * 9 + [3])
    weights = inverse_frequency(kinds)
    assert weights.mean().item() == pytest.approx(1)
    group = Group(torch.arange(1000, 1100), weights)
    rows = torch.cat(list(drawn_batches([group], torch.ones(1), 60, 0, 0, 50)))
    share = torch.bincount(kinds[rows - 1000]).float() / len(rows)
    torch.testing.assert_close(share, torch.tensor([1, 0, 1, 1]) / 3, atol=0.03, rtol=0)
