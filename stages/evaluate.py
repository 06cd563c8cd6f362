"""evaluate: the errors of each test sample, for all seeds of a run."""

from pathlib import Path
from typing import Annotated

from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine, set_threads
from pmnet.core.distributed import rank_and_world_size
from pmnet.core.ranges import Seeds
from pmnet.core.stage import OutFile, Section, command
from pmnet.data.names import check_name
from pmnet.data.sets import pairs_of
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate
from pmnet.model.weights import remove_other_seeds


def evaluate(
    name: str,
    sets: Path,
    memory: Path,
    models: Path,
    body: Path,
    out: OutFile,
    seeds: Annotated[Seeds, Section("train.seeds")],
    evaluate: Evaluate,
    machine: Machine,
) -> None:
    """Write the errors of each sample of the test sets, for the run `name`.

    Distances are measured to the body of `evaluate.mean`. Weights and logs in `models` of seeds that
    `train.seeds` does not name are deleted. So are the checkpoints of the run: by now its weights are
    recorded.
    """
    check_name(name, "--name")
    set_threads(machine)
    evaluator = Evaluator.load(memory, models, body, seeds, evaluate, machine)
    first = rank_and_world_size()[0] == 0
    if first:
        remove_other_seeds(models, seeds)
    evaluator.write(name, pairs_of(sets), out, {})
    if first:
        forget(models)


if __name__ == "__main__":
    command(evaluate)
