"""Training that is killed (SIGKILL) at random moments and run again: does it end with the same bytes?

`python -m benchmarks.kills` lays out a tiny world of the graph in a folder of its own, trains it once
undisturbed, and then, `--kills` times each: kills the trainer (`trainer`), kills `dvc` while it runs the
train stage (`dvc`: its trainer lives on, and a second one must be refused), or kills one of two processes
that torchrun started (`rank`); runs the same command again, and compares weights and log byte by byte with
those of the undisturbed run. It prints a row per kind: `had_checkpoint` says how many were killed after a
checkpoint, `resumed` how many of these went on from it, `refused` how often a second trainer came while
the first one was alive, `equal` how many ended with the same bytes. Ten each take half an hour on two
slow cores, most of it the start of Python.
"""

import argparse
import csv
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.kills.killing import Training, World

KINDS = ("trainer", "dvc", "rank")
BEFORE = 0.2  # share of the kills that come before training has begun


@dataclass
class Row:
    """What came of the kills of one kind."""

    kind: str
    kills: int = 0
    had_checkpoint: int = 0
    resumed: int = 0
    refused: int = 0
    equal: int = 0


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody kills: its bytes, its rows of the log, and when (s) the first one was there."""

    results: dict[str, bytes]
    rows: int
    began_s: float

    @staticmethod
    def of(world: World, kind: str) -> "Undisturbed":
        """Train once."""
        world.clear()
        training = Training(world, kind)
        began = training.seconds_until(lambda: world.rows_of_log() > 0)
        training.seconds_until(lambda: False)
        if training.process.returncode:
            raise RuntimeError(f"{kind}: undisturbed, it failed:\n{training.said()}")
        return Undisturbed(world.results(), world.rows_of_log(), began)

    def moment(self, world: World, chance: random.Random) -> Callable[[], bool]:
        """Return a random moment: before training begins, or a while after a row of the log."""
        start, row = time.monotonic(), chance.randint(1, self.rows)
        if chance.random() < BEFORE:
            after = start + chance.uniform(0, self.began_s)
            return lambda: time.monotonic() > after
        while_s = chance.uniform(0, 1)

        def come() -> bool:
            if world.rows_of_log() < row:
                return False
            time.sleep(while_s)
            return True

        return come


def kill_one(
    world: World,
    row: Row,
    event: Callable[[], bool],
    chance: random.Random,
    wanted: dict[str, bytes],
) -> None:
    """Kill one training at an event, run it again to its end, and count what came of it."""
    training = Training(world, row.kind)
    if not training.killed_at(event, chance):
        return  # it had ended before
    row.kills += 1
    had_checkpoint = world.has_checkpoint()
    said = training.again()
    while "another process" in said:
        row.refused += 1
        world.wait_until_free()
        had_checkpoint = world.has_checkpoint()
        said = training.again()
    row.had_checkpoint += had_checkpoint
    row.resumed += had_checkpoint and "going on from step" in said
    row.equal += world.results() == wanted


def measure(world: World, kind: str, kills: int, chance: random.Random) -> Row:
    """Kill trainings of a kind at random moments."""
    run, row = Undisturbed.of(world, kind), Row(kind)
    while row.kills < kills:
        start = time.monotonic()
        world.clear()
        kill_one(world, row, run.moment(world, chance), chance, run.results)
        print(f"{time.monotonic() - start:.0f} s: {row}", file=sys.stderr, flush=True)
    return row


def main() -> None:
    """Print the table; the exit code is 1 where a run was not resumed or ended with other bytes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pmnet-kills-"))
    world = World.lay_out(folder, options.steps)
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(Row)])
    writer.writeheader()
    good = True
    for kind in options.kinds:
        row = measure(world, kind, options.kills, random.Random(options.seed))
        writer.writerow(asdict(row))
        sys.stdout.flush()
        good &= row.resumed == row.had_checkpoint and row.equal == row.kills
    shutil.rmtree(folder)
    raise SystemExit(os.EX_OK if good else 1)


if __name__ == "__main__":
    main()
