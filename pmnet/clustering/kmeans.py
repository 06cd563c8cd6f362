"""K-Means over a Space (Algorithm 1): Lloyd's loop with exact assignments, in bounded memory.

`reference.lloyd` is the same algorithm in a few lines.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.cuda_iteration import IterationGraph, Outcome
from pmnet.clustering.exact.assign import ROUGH, assign
from pmnet.clustering.exact.embedded import EmbeddedBodies
from pmnet.clustering.init import restart_seed, start
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering, stops
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import DISTANCE, Sums, moved, summed
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.torch_files import load_torch, save_torch
from pmnet.memory.files import Iteration

SAVE_EVERY_S = 5.0


@dataclass
class _State:
    """The progress of a search: all that it needs to continue after a kill."""

    restart: int = 0
    centres: BodyParams | None = None
    history: list[Iteration] = field(default_factory=list)
    best: BodyParams | None = None
    least: float = math.inf
    winner: "_State | None" = None

    def save(self, path: Path) -> None:
        """Write this state, whole or not at all."""
        save_torch(self._plain(), path)

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

    def check(self, k: int) -> None:
        """Raise ValueError where this is no state of a search for K centres."""
        for body in (self.centres, self.best):
            if body is not None and (body.rotmats.shape, body.betas.shape) != (
                (k, 24, 3, 3),
                (k, 10),
            ):
                raise ValueError("its centres are of other shapes")
        parts = {bool(self.history), self.centres is not None, self.best is not None}
        if len(parts) > 1 or self.restart < 0:
            raise ValueError("its history lacks centres")
        if self.winner is not None:
            if self.winner.best is None or not math.isfinite(self.winner.least):
                raise ValueError("its best restart lacks centres")
            self.winner.check(k)
        elif self.restart:
            raise ValueError("it lacks the best restart")

    @staticmethod
    def of(plain: dict[str, Any], device: torch.device) -> "_State":
        """Return the state of a file."""

        def body(parts: tuple[Tensor, Tensor] | None) -> BodyParams | None:
            return None if parts is None else BodyParams(*parts).to(device)

        winner = plain["winner"]
        return _State(
            plain["restart"],
            body(plain["centres"]),
            [Iteration(**row) for row in plain["history"]],
            body(plain["best"]),
            plain["least"],
            None if winner is None else _State.of(winner, device),
        )


def kmeans(
    points: EmbeddedBodies,
    options: Cluster,
    shard: Shard | None = None,
    checkpoint: Path | None = None,
) -> Clustering:
    """Return K centres and the assignment of every body to the nearest (Algorithm 1).

    The loop ends when no assignment changes, when the mean distance changes by less than the share
    `tolerance`, or after `max_iterations` updates; 0 keeps the start (Random Select of Table II). The
    mean body does not minimise the vertex distance, so the mean distance may rise: the best iteration of
    the best restart is returned, with the assignments and distances of its centres. An empty cluster keeps
    its centre. The mean distances of the history come from the bounds: each distance is within the share
    ROUGH; the returned distances are within 0.2 %.

    Several processes pass their own bodies and their `shard`; all return the whole result, which is the
    result of one process. A search continues from its `checkpoint`; only the first process needs the path.
    Raises InputError if K is not between 1 and the number of bodies.
    """
    shard = shard or Shard.whole(len(points))
    if not 1 <= options.k <= shard.total:
        raise InputError(
            f"cluster.k is {options.k}: it must be from 1 to the {shard.total} training samples"
        )
    state = _State()
    plain = shard.of_first(None if checkpoint is None else _saved(checkpoint, options.k))
    if plain is not None:
        state = _State.of(plain, points.device)
    # the one centre of all bodies does not depend on the start
    restarts = 1 if options.k == 1 and options.max_iterations else max(options.restarts, 1)
    single = shard.group is None
    graph = IterationGraph.where_it_fits(points, options.k) if single else None
    while state.restart < restarts:
        _descend(points, options, shard, state, graph, checkpoint)
        better = state.winner is None or state.least < state.winner.least
        state = _State(state.restart + 1, winner=state if better else state.winner)
    assert state.winner is not None and state.winner.best is not None
    best, history = state.winner.best, state.winner.history
    labels, distances = assign(points, best)
    if checkpoint is not None and shard.rank == 0:
        checkpoint.unlink(missing_ok=True)
    return Clustering(best, shard.gather(labels), shard.gather(distances), history)


def _saved(checkpoint: Path, k: int) -> dict[str, Any] | None:
    """Return the state in a checkpoint; None without one, and for a damaged one, with a word about it."""
    try:
        plain: dict[str, Any] = load_torch(checkpoint, "checkpoint")
        _State.of(plain, torch.device("cpu")).check(k)
        return plain
    except FileNotFoundError:
        return None
    except Exception as error:  # entries that are missing or odd fail in many ways
        reason = str(error) if isinstance(error, InputError) else f"{checkpoint}: {error!r:.200}"
        say(f"{reason}; the clustering starts anew")
        return None


def _descend(
    points: EmbeddedBodies,
    options: Cluster,
    shard: Shard,
    state: _State,
    graph: IterationGraph | None,
    checkpoint: Path | None,
) -> None:
    """Run one restart to its end, from its state."""
    sums = Sums(points, options.k)
    begun = saved = time.monotonic()
    last = options.max_iterations
    if state.history:  # the assignment of the last row was made before the kill
        assert state.centres is not None
        sums.move(assign(points, state.centres, ROUGH)[0])
        state.centres = moved(state.centres, points.space, *sums.means(shard))
    elif options.k == 1 and last:
        everything = Sums(points, 1)
        everything.move(torch.zeros_like(points.bounds.squared, dtype=torch.long))
        state.centres, last = points.space.mean_body(everything.means(shard)[0]), 0
    else:
        seed = restart_seed(options.seed, state.restart)
        state.centres = start(points, options.k, seed, options.init, shard)
    done = len(state.history)
    for iteration in range(done, last + 1):
        assert state.centres is not None
        row, after = iterate(points, state.centres, sums, shard, graph, iteration)
        state.history.append(row)
        if row.mean_distance < state.least:
            state.best, state.least = state.centres, row.mean_distance
        if shard.rank == 0:
            _report(row, state.restart, (time.monotonic() - begun) / (iteration + 1 - done), last)
        if iteration == last or stops(state.history, options.tolerance):
            break
        if checkpoint is not None and shard.rank == 0 and time.monotonic() - saved >= SAVE_EVERY_S:
            state.save(checkpoint)
            saved = time.monotonic()
        state.centres = after


def iterate(
    points: EmbeddedBodies,
    centres: BodyParams,
    sums: Sums,
    shard: Shard,
    graph: IterationGraph | None = None,
    iteration: int = 0,
) -> tuple[Iteration, BodyParams]:
    """Assign all bodies to these centres; return the row of the history and the next centres.

    The `graph` of a single process does the same work faster.
    """
    outcome = graph(centres, sums) if graph and sums.begun else None
    if outcome is None:
        labels, distances = assign(points, centres, ROUGH)
        changed = sum(shard.counts(sums.move(labels)))
        means, sizes = sums.means(shard)
        after = moved(centres, points.space, means, sizes)
        distance = int(shard.sum(summed(distances)))
        outcome = Outcome(after, distance, changed, int((sizes == 0).sum()))
    mean = outcome.distance / DISTANCE / shard.total
    return Iteration(iteration, mean, outcome.changed, outcome.empty), outcome.centres


def _report(row: Iteration, restart: int, each_s: float, last: int) -> None:
    left = f", at most {each_s * (last - row.iteration):.0f} s left" if row.iteration < last else ""
    again = f" (restart {restart})" if restart else ""
    say(
        f"K-Means{again} {row.iteration}: mean distance {row.mean_distance:.4f}, "
        f"{row.changed} changed, {row.empty} empty{left}"
    )
