"""Which samples make a batch: a step has the same rows, wherever training starts or resumes."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.core.errors import InputError


def batches(n: int, batch_size: int, seed: int, first: int, last: int) -> Iterator[Tensor]:
    """Yield the rows of steps `first` to `last` - 1; a step has the same rows for every `first`.

    Each pass over the data has its own order; an incomplete batch at the end of a pass is dropped.
    """
    per_pass = max(n // batch_size, 1)
    order, current = torch.empty(0, dtype=torch.long), -1
    for step in range(first, last):
        if step // per_pass != current:
            current = step // per_pass
            generator = torch.Generator().manual_seed(combined_seed(seed, 1, current))
            order = torch.randperm(n, generator=generator)
        start = step % per_pass * batch_size
        yield order[start : start + batch_size]


def drawn_batches(
    groups: list["Group"],
    shares: Float[Tensor, "g"],
    batch_size: int,
    seed: int,
    first: int,
    last: int,
) -> Iterator[Tensor]:
    """Yield the rows of steps `first` to `last` - 1, drawn from groups of rows by their shares.

    Each row is drawn independently with replacement, as SPIN draws from its data sets, so a batch has
    these shares on average.
    """
    for step in range(first, last):
        generator = torch.Generator().manual_seed(combined_seed(seed, 3, step))
        group = torch.multinomial(shares, batch_size, replacement=True, generator=generator)
        place = torch.rand(batch_size, generator=generator, dtype=torch.float64)
        rows = torch.empty(batch_size, dtype=torch.long)
        for index in group.unique().tolist():
            mine = group == index
            rows[mine] = groups[index].at(place[mine])
        yield rows


class Group:
    """Rows to draw from, in proportion to their weights (None: all equally often)."""

    def __init__(self, rows: Int[Tensor, "n"], weights: Float[Tensor, "n"] | None = None) -> None:
        self._rows = rows
        self._ends = None if weights is None else weights.double().cumsum(0)

    def at(self, place: Float[Tensor, "b"]) -> Int[Tensor, "b"]:
        """Return the rows at `place`, from 0 to 1, in the cumulative sum of all weights."""
        if self._ends is None:
            return self._rows[(place * len(self._rows)).long()]
        index = torch.searchsorted(self._ends, place * self._ends[-1], right=True)
        return self._rows[index.clamp_max(len(self._rows) - 1)]


def inverse_frequency(kinds: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return weights that make all kinds that occur equally frequent; their mean is 1."""
    sizes = torch.bincount(kinds).double()
    return (len(kinds) / (sizes > 0).sum() / sizes)[kinds].float()


def shares_of(mix: Mapping[str, float], sizes: Mapping[str, int]) -> Float[Tensor, "g"]:
    """Return the share of each data set in `sizes`: that of `mix`, and the rest in proportion to size.

    Raises InputError where `mix` names a data set that is missing or empty, where shares are negative
    or sum to more than 1, or where `mix` names all data sets and the shares sum to less than 1.
    """
    for name, share in mix.items():
        if not sizes.get(name):
            known = ", ".join(name for name, size in sizes.items() if size)
            raise InputError(f"train.mix: {name} is none of the data sets to train on: {known}")
        if not 0 <= share <= 1:
            raise InputError(f"train.mix: the share of {name} is {share}; give 0 to 1")
    rest, others = 1 - sum(mix.values()), sum(n for name, n in sizes.items() if name not in mix)
    if rest < -1e-6 or (rest > 1e-6 and not others):
        raise InputError(
            f"train.mix: the shares sum to {1 - rest:g}; give at most 1, and 1 where all are named"
        )
    shares = [mix[k] if k in mix else max(rest, 0.0) * n / others for k, n in sizes.items()]
    return torch.tensor(shares, dtype=torch.float64)


def combined_seed(*numbers: int) -> int:
    """Return a seed that differs for different numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
