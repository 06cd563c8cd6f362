"""Where a search for centres is: written after an iteration, read after a kill."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.files import replacing


@dataclass(frozen=True)
class Iteration:
    """One row of the history: after the assignment."""

    iteration: int
    mean_distance: float
    changed: int
    empty: int


@dataclass
class State:
    """Where a search is: all that it takes to go on after a kill."""

    restart: int = 0
    centres: BodyParams | None = None
    history: list[Iteration] = field(default_factory=list)
    best: BodyParams | None = None
    least: float = math.inf
    winner: "State | None" = None

    def save(self, path: Path) -> None:
        """Write this state, whole or not at all."""
        with replacing(path) as partial:
            torch.save(self._plain(), partial)

    def _plain(self) -> dict[str, Any]:
        def body(params: BodyParams | None) -> tuple[Tensor, Tensor] | None:
            return None if params is None else (params.rotmats.cpu(), params.betas.cpu())

        return {
            "restart": self.restart,
            "centres": body(self.centres),
            "history": [asdict(row) for row in self.history],
            "best": body(self.best),
            "least": self.least,
            "winner": None if self.winner is None else self.winner._plain(),
        }

    @staticmethod
    def of(plain: dict[str, Any], device: torch.device) -> "State":
        """Return the state that was written."""

        def body(parts: tuple[Tensor, Tensor] | None) -> BodyParams | None:
            return None if parts is None else BodyParams(*parts).to(device)

        winner = plain["winner"]
        return State(
            plain["restart"],
            body(plain["centres"]),
            [Iteration(**row) for row in plain["history"]],
            body(plain["best"]),
            plain["least"],
            None if winner is None else State.of(winner, device),
        )
