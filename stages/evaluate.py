"""evaluate: per-sample errors of a run, all seeds and test sets."""

from pathlib import Path
from typing import Annotated

from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine, set_threads
from pmnet.core.processes import rank_and_world_size
from pmnet.core.stage import Section, command
from pmnet.data.sets import pairs_of
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate


def evaluate(
    name: str,
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
    """Write the errors of each sample of the test sets, for the run `name`.

    Distances are measured to the `single` memory. The weights are recorded by now: what their training
    kept to begin again from is deleted.
    """
    set_threads(machine)
    evaluator = Evaluator.load(memory, single, models, body, seeds, evaluate, machine)
    evaluator.write(name, pairs_of(sets), out, {})
    if rank_and_world_size()[0] == 0:
        forget(models)


if __name__ == "__main__":
    command(evaluate)
