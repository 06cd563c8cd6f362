"""The rate of our whole loop: `train_model` on files, timed where its log waits for the device."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from benchmarks.rates import Busy, Clock, Plan
from benchmarks.training.world import World
from pmnet.core.device import Machine, set_threads
from pmnet.training.seeds import build_network
from pmnet.training.log import Log
from pmnet.training.loop import train_model


@dataclass(frozen=True)
class Loop:
    """What was measured of one training; `checkpoint_s` is what writing a checkpoint takes."""

    clock: Clock
    busy: Busy
    checkpoint_s: float

    def tell(self, what: str) -> None:
        """Print what was seen beside the rate."""
        rates = self.clock.rates()
        print(
            f"  {what}: windows of {min(rates):.0f} to {max(rates):.0f} images/s; a checkpoint takes "
            f"{self.checkpoint_s:.2f} s"
        )
        self.busy.tell(what)


class _Windows(Log):
    """A log whose rows are the ends of windows; then it watches the GPU for one more."""

    def __init__(self, clock: Clock, busy: Busy) -> None:
        super().__init__(None)
        self._clock, self._busy = clock, busy

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Note the end of a window: the means of the log were read just now."""
        self._clock.tick()
        last = self._clock.plan.counted + 1  # the one with a checkpoint
        if len(rows) == last:
            print(f"  {self._clock.rate:.0f} images/s", flush=True)
            self._busy.__enter__()
        elif len(rows) == last + 1:
            self._busy.__exit__()

    def finish(self, rows: list[dict[str, Any]]) -> None:
        """Keep nothing."""


def our_loop(
    world: World, machine: Machine, fabric: Fabric, plan: Plan, batch: int, watched: bool
) -> Loop:
    """Train the network of the paper for the windows of a plan and two more, and return the rates.

    The first of the two writes a checkpoint, in the second the profiler watches.
    """
    set_threads(machine)
    windows = plan.counted + 2
    options = replace(
        world.train,
        batch_size=batch,
        steps=windows * plan.window,
        log_every=plan.window,
        checkpoint_every=plan.counted * plan.window,
    )
    clock, busy = Clock(plan, batch), Busy(plan.window, watched)
    checkpoint = world.folder / f"{fabric.world_size}_{batch}.ckpt"
    _train(world, options, machine, fabric, checkpoint, _Windows(clock, busy))
    return Loop(clock, busy, clock.seconds_over(plan.counted))


def _train(
    world: World, options: Any, machine: Machine, fabric: Fabric, checkpoint: Path, log: Log
) -> None:
    fabric.seed_everything(0, verbose=False)
    body, memory, data = world.opened()
    network = build_network(options, memory)
    try:
        train_model(network, data, memory, body, options, machine, 0, fabric, checkpoint, log)
    finally:
        checkpoint.unlink(missing_ok=True)
