"""Samples shared among processes: each holds consecutive whole chunks, and sums go over all of them.

Sums are of int64, or of rows that are zero in all processes but one. So they are the same, to the last bit,
for any number of processes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from pmnet.clustering.exact import chunks


@dataclass(frozen=True)
class Shard:
    """The samples `start` to `stop` of `total`, and the processes that hold the others."""

    start: int
    stop: int
    total: int
    group: distributed.ProcessGroup | None = None

    @staticmethod
    def whole(total: int) -> "Shard":
        """Return the shard of a single process: all samples."""
        return Shard(0, total, total)

    @staticmethod
    def of(total: int, group: distributed.ProcessGroup) -> "Shard":
        """Return the shard of this process."""
        rank, size = distributed.get_rank(group), distributed.get_world_size(group)
        count = -(-total // chunks.CHUNK)
        edges = [min(count * r // size * chunks.CHUNK, total) for r in (rank, rank + 1)]
        return Shard(edges[0], edges[1], total, group)

    @property
    def rank(self) -> int:
        """Return the number of this process."""
        return 0 if self.group is None else distributed.get_rank(self.group)

    @property
    def _sender(self) -> torch.device:
        """Return the device that tensors are sent from: the GPU of the process for NCCL, else the CPU."""
        nccl = distributed.get_backend(self.group) == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.group is None:
            return values
        total = values.to(self._sender, copy=True)
        distributed.all_reduce(total, group=self.group)
        return total.to(values.device)

    def gather(self, mine: Tensor) -> Tensor:
        """Return the rows of all samples, given the rows of this process's samples."""
        if self.group is None:
            return mine
        every = torch.zeros(self.total, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
        every[self.start : self.stop] = mine
        return self.sum(every)

    def counts(self, here: int) -> list[int]:
        """Return the number of every process, by rank; `here` is the number of this one."""
        if self.group is None:
            return [here]
        numbers = torch.zeros(distributed.get_world_size(self.group), dtype=torch.long)
        numbers[self.rank] = here
        return self.sum(numbers).tolist()

    def of_first(self, here: Any) -> Any:
        """Return the object of the first process."""
        if self.group is None:
            return here
        held = [here]
        distributed.broadcast_object_list(held, src=0, group=self.group, device=self._sender)
        return held[0]
