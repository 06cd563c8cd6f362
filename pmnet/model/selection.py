"""The start of inference: the two selections of the paper, and two more."""

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.memory.nearest import NearestPrototype, distances_mm
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet, unpack

Selection = Literal["hard", "soft", "risk", "twice"]


class Selector:
    """Selects the start of each sample from the scores c of a network.

    `hard` is the prototype of the highest score, `soft` the mean of all prototypes weighted by softmax
    (phi_0 = c M). Beyond the paper: `risk` is the prototype with the least expected distance to the right
    one, and `twice` the prototype nearest to the body that is regressed from the hard start.
    """

    def __init__(self, network: PMNet, memory: PrototypeMemory, body: BodyModel) -> None:
        """Take a network, its memory, and the body model on the device of the network."""
        self.network, self._memory, self._body = network, memory, body

    @property
    def chooses(self) -> bool:
        """Return whether the start depends on the scores."""
        return len(self._memory) > 1 and not self.network.starts_from_mean

    @torch.no_grad()
    def start(
        self, features: Float[Tensor, "n h"], scores: Float[Tensor, "n k"], selection: Selection
    ) -> tuple[Float[Tensor, "n 157"], Int[Tensor, "n"]]:
        """Return phi_0 and the selected prototype of each sample; `soft` selects the highest score."""
        rows = scores.argmax(1)
        if not self.chooses:
            return self.network.from_prototypes(rows), rows
        if selection == "soft":
            return self.network.mixture(scores), rows
        if selection == "risk":
            rows = (scores.softmax(1) @ self._distances).argmin(1)
        if selection == "twice":
            rows = self._nearest(self.network.regress(features, self.network.memory[rows]))
        return self.network.from_prototypes(rows), rows

    @cached_property
    def _distances(self) -> Float[Tensor, "k k"]:
        return distances_mm(self._memory, self._body)

    @cached_property
    def _labeller(self) -> NearestPrototype:
        return NearestPrototype(self._memory, self._body)

    def _nearest(self, vectors: Float[Tensor, "n 157"]) -> Int[Tensor, "n"]:
        bodies: BodyParams = unpack(vectors).params
        return torch.cat([self._labeller.nearest(bodies[rows]) for rows in _blocks(len(vectors))])


def _blocks(n: int, size: int = 256) -> list[slice]:
    return [slice(start, start + size) for start in range(0, n, size)]
