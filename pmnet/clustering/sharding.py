"""Samples shared out among processes: each holds a run of whole chunks, sums go over all.

What is summed is int64, or a row that one process has and the others have as zeros. So the sums do not
depend on how many processes there are, to the last bit.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

CHUNK = 8192  # bodies that are worked on at a time; a shard starts at a multiple of it


@dataclass(frozen=True)
class Shard:
    """The samples `start` to `stop` of `total`, and the processes that hold the others."""

    start: int
    stop: int
    total: int
    group: distributed.ProcessGroup | None = None

    @staticmethod
    def whole(total: int) -> "Shard":
        """Return the shard of a process that is alone."""
        return Shard(0, total, total)

    @staticmethod
    def of(total: int, group: distributed.ProcessGroup) -> "Shard":
        """Return this process's share of the chunks."""
        rank, size = distributed.get_rank(group), distributed.get_world_size(group)
        chunks = -(-total // CHUNK)
        edges = [min(chunks * r // size * CHUNK, total) for r in (rank, rank + 1)]
        return Shard(edges[0], edges[1], total, group)

    @property
    def rank(self) -> int:
        """Return the number of this process."""
        return 0 if self.group is None else distributed.get_rank(self.group)

    @property
    def _where(self) -> torch.device:
        """Return where tensors have to be to be sent: NCCL sends from the GPU of the process."""
        nccl = distributed.get_backend(self.group) == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.group is None:
            return values
        total = values.to(self._where, copy=True)
        distributed.all_reduce(total, group=self.group)
        return total.to(values.device)

    def gather(self, mine: Tensor) -> Tensor:
        """Return the numbers of all samples, from those of each process's own."""
        if self.group is None:
            return mine
        every = torch.zeros(self.total, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
        every[self.start : self.stop] = mine
        return self.sum(every)

    def counts(self, here: int) -> list[int]:
        """Return a number that each process has, by rank."""
        if self.group is None:
            return [here]
        numbers = torch.zeros(distributed.get_world_size(self.group), dtype=torch.long)
        numbers[self.rank] = here
        return self.sum(numbers).tolist()

    def of_first(self, here: Any) -> Any:
        """Return what the first process has."""
        if self.group is None:
            return here
        held = [here]
        distributed.broadcast_object_list(held, src=0, group=self.group, device=self._where)
        return held[0]
