"""`pmnet sweep`: experiments as rows of a graph, by the pool of this machine or by SLURM.

Results go to sweeps/NAME: the graph of the profile owns runs/NAME.
"""

from collections.abc import Sequence
from pathlib import Path

from pmnet.core.checkpoints import held
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_unwritable
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS
from pmnet.data.sets import Split, pairs_of
from pmnet.evaluation.error_table import merge_errors
from pmnet.report.benchmark.packed import load_packed
from pmnet.runs.experiments import SWEEPS, Row, read_experiments
from pmnet.runs.graph import Task, tasks_to_do
from pmnet.runs.pool import run_tasks
from pmnet.runs.rows import TRAIN_SETS, sets_file, write_rows


def run_experiments(
    file: Path,
    groups: Sequence[str],
    devices: int,
    splits: Sequence[Split],
    packed: Sequence[Path] = (),
    slurm: bool = False,
    dry: bool = False,
) -> None:
    """Train the experiments of some groups (none: all), `devices` at a time, and score them on splits.

    Seeds whose errors are in files of `packed` errors were trained elsewhere, and are left out. 0 devices:
    one per GPU, or one; with `slurm`, all as jobs at once. Writes sweeps/<name>/errors.parquet of all
    seeds. With `dry`, only the graph is written, and how many rows are to do is said. Raises InputError
    where any row failed, and where another process runs experiments in this folder.
    """
    rows = _rows_of(file, groups, _seeds_in(packed))
    _refuse_unready(file, rows, splits)
    if not rows:
        say("0 of 0 rows to do")
        return
    with held("sweeps"):
        write_rows(rows, splits)
        waiting = tasks_to_do(SWEEPS)
        say(f"{len(waiting)} of {len(rows)} rows to do")
        if dry:
            return
        if waiting:
            _run(waiting, devices, slurm)
        failed = {task.name.partition(" ")[2] for task in tasks_to_do(SWEEPS)} if waiting else set()
        _merge(rows, failed)
    if failed:
        names = ", ".join(row.key for row in rows if row.key in failed)
        raise InputError(
            f"{len(failed)} of {len(rows)} rows failed, see above: {names}; run it again"
        )


def _rows_of(file: Path, groups: Sequence[str], elsewhere: set[tuple[str, int]]) -> list[Row]:
    """Return the rows of the experiments of some groups; raises InputError where there are none."""
    known = read_experiments(file)
    experiments = {k: e for k, e in known.items() if not groups or e.group in groups}
    if not experiments:
        names = ", ".join(sorted({e.group for e in known.values()}))
        raise InputError(f"{file}: no experiment of {', '.join(groups)}; the groups are: {names}")
    rows = [row for name, experiment in experiments.items() for row in experiment.rows(name)]
    return [row for row in rows if (row.name, row.seed) not in elsewhere]


def _seeds_in(packed: Sequence[Path]) -> set[tuple[str, int]]:
    """Return the experiments and seeds whose errors are packed."""
    runs = load_packed(packed).runs if packed else {}
    return {(name, seed) for name, facts in runs.items() for seed in facts.seeds}


def _refuse_unready(file: Path, rows: Sequence[Row], splits: Sequence[Split]) -> None:
    """Raise InputError where a setting is wrong, an input is missing or an output cannot be written."""
    for row in rows:
        row.settings(PARAMS)
        if not row.memory_file.exists():
            raise InputError(f"{file}: {row.memory_file} is missing: run dvc repro cluster first")
        refuse_unwritable(row.folder, folder=True)
    for sets in (TRAIN_SETS, *map(sets_file, splits)):
        pairs_of(sets)


def _run(waiting: list[Task], devices: int, slurm: bool) -> None:
    """Run the rows that are to do."""
    if slurm:
        from pmnet.runs.slurm import SlurmQueue

        SlurmQueue("sweeps", SWEEPS).run(devices)
        return
    from pmnet.core.device import visible_gpus  # torch takes seconds to import

    gpus = visible_gpus()
    run_tasks(waiting, devices or len(gpus) or 1, gpus, SWEEPS)


def _merge(rows: Sequence[Row], failed: set[str]) -> None:
    """Write the errors of each experiment of which all rows are done, with what it is, as one file."""
    for name in dict.fromkeys(row.name for row in rows):
        mine = [row for row in rows if row.name == name]
        if not any(row.key in failed for row in mine):
            experiment = mine[0].experiment
            about = {"label": experiment.label, "group": experiment.group, "set": experiment.set}
            merge_errors([row.errors for row in mine], SWEEPS / name / "errors.parquet", about)
