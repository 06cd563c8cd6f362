"""evaluate: per-sample errors of a run, all seeds and test sets."""

from pathlib import Path
from typing import Annotated

import pandas as pd

from pmnet.checkpoints import forget
from pmnet.datasets.sets import pairs_of
from pmnet.evaluation import Evaluator, write_errors
from pmnet.machine import set_threads
from pmnet.params import Evaluate, Machine
from pmnet.processes import place
from pmnet.progress import say
from pmnet.stage import Section, command


def evaluate(
    run: str,
    sets: Path,
    memory: Path,
    single: Path,
    models: Path,
    body: Path,
    out: Path,
    seeds: Annotated[list[int], Section("train.seeds")],
    evaluate: Evaluate,
    machine: Machine,
) -> None:
    """Write the errors of each sample of the test sets; distances are measured to the `single` memory.

    The weights are recorded by now: what their training kept to begin again from is deleted.
    """
    set_threads(machine)
    evaluator = Evaluator.load(memory, single, models, body, seeds, evaluate, machine)
    pairs = pairs_of(sets)
    errors = pd.concat([evaluator.errors(*pair) for pair in pairs], ignore_index=True)
    if place()[0] > 0:
        return
    about = {"run": run, **evaluator.about([samples for samples, _ in pairs])}
    write_errors(errors.assign(run=run), about, out)
    forget(models)
    say(f"{run}: errors of {len(errors)} predictions -> {out}")


if __name__ == "__main__":
    command(evaluate)
