"""The evaluation of a row of sweeps/dvc.yaml: one seed of an experiment, on one or more splits."""

from pathlib import Path

from pmnet.core.checkpoints import forget
from pmnet.core.device import Machine, set_threads
from pmnet.core.ranges import Seed
from pmnet.core.stage import OutFile, command
from pmnet.data.names import check_name
from pmnet.data.sets import pairs_of
from pmnet.evaluation.evaluator import Evaluator
from pmnet.evaluation.options import Evaluate


def evaluate_row(
    name: str,
    sets: list[Path],
    memory: Path,
    models: Path,
    body: Path,
    out: OutFile,
    seed: Seed,
    evaluate: Evaluate,
    machine: Machine,
) -> None:
    """Write the errors of each sample of all `sets`, for one seed of the experiment `name`.

    The checkpoint of its training is deleted: by now its weights are recorded.
    """
    check_name(name, "--name")
    set_threads(machine)
    evaluator = Evaluator.load(memory, models, body, [seed], evaluate, machine)
    evaluator.write(name, [pair for each in sets for pair in pairs_of(each)], out, {})
    forget(models)


if __name__ == "__main__":
    command(evaluate_row)
