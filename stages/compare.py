"""compare: the errors of another system, from its prediction files."""

from pathlib import Path
from typing import Annotated

from pmnet.core.device import Machine, set_threads
from pmnet.core.stage import PARAMS, OutFile, Section, command
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.predictions.comparing import compare as score_comparator
from pmnet.evaluation.predictions.options import Comparator
from pmnet.evaluation.predictions.project import scorer_of, sets_of


def compare(
    name: str,
    sets: Path,
    memory: Path,
    body: Path,
    out: OutFile,
    comparator: Annotated[Comparator, Section("comparators.{name}")],
    evaluate: Evaluate,
    machine: Machine,
) -> None:
    """Write the errors of the system `name` on the test sets, as evaluate does for a run.

    `memory` has the prototypes that the samples are assigned to.
    """
    set_threads(machine)
    where = f"{PARAMS}: evaluate.mean"
    scorer = scorer_of(body, Path(evaluate.mean), where, evaluate, memory)
    score_comparator(name, comparator, sets_of(sets), scorer, evaluate, out)


if __name__ == "__main__":
    command(compare)
