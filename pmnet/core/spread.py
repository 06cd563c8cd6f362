"""An even choice of rows."""

import torch
from jaxtyping import Int
from torch import Tensor


def evenly(n: int, count: int) -> Int[Tensor, "rows"]:
    """Return `count` of the rows 0 to n - 1, spread evenly from the first to the last.

    All rows are returned where there are no more than `count`.
    """
    # float32 would skip rows where there are millions
    return torch.linspace(0, n - 1, min(count, n), dtype=torch.float64).round().long()
