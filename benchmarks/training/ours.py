"""The rate of our whole loop: `train_model` on files, timed where its log waits for the device."""

from dataclasses import dataclass, replace

from lightning_fabric import Fabric

from benchmarks.rates import Busy, Clock, Plan
from benchmarks.training.world import World
from pmnet.core.device import Machine, set_threads
from pmnet.training.log import Row
from pmnet.training.loop import train_model
from pmnet.training.options import Train
from pmnet.training.run import TrainingRun, build_network


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


class _Windows:
    """A log whose new rows end the windows; then it watches the GPU for one more window."""

    def __init__(self, clock: Clock, busy: Busy) -> None:
        self._clock, self._busy = clock, busy
        self._rows = 0

    def __call__(self, rows: list[Row]) -> None:
        """Note the end of a window: the means of the log were read just now."""
        if len(rows) == self._rows:  # the log is written once more at the end
            return
        self._rows = len(rows)
        self._clock.tick()
        last = self._clock.plan.counted + 1  # the one with a checkpoint
        if len(rows) == last:
            print(f"  {self._clock.rate:.0f} images/s", flush=True)
            self._busy.__enter__()
        elif len(rows) == last + 1:
            self._busy.__exit__()


def our_loop(
    world: World, options: Train, machine: Machine, fabric: Fabric, plan: Plan, watched: bool
) -> Loop:
    """Train the network of the paper for the windows of a plan and two more, and return the rates.

    The first of the two writes a checkpoint, in the second the profiler watches.
    """
    set_threads(machine)
    windows = plan.counted + 2
    options = replace(options, steps=windows * plan.window)
    machine = replace(machine, log_every=plan.window, checkpoint_every=plan.counted * plan.window)
    clock, busy = Clock(plan, options.batch_size), Busy(plan.window, watched)
    fabric.seed_everything(0, verbose=False)
    body, memory, data = world.opened()
    run = TrainingRun(data, memory, body, options, machine, fabric, seed=0)
    checkpoint = world.folder / f"{fabric.world_size}_{options.batch_size}.ckpt"
    try:
        train_model(build_network(options, memory), run, checkpoint, _Windows(clock, busy))
    finally:
        checkpoint.unlink(missing_ok=True)
    return Loop(clock, busy, clock.seconds_over(plan.counted))
