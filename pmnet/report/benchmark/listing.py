"""`runs.csv`, beside the packed errors: the group, the references and the label of each run.

| column | holds |
| --- | --- |
| `run` | the name that its errors have; `RUN:INFERENCE` for another selection of its prototype |
| `group` | `main`: the five memories of Table II, one each; `sweep`: further runs of Tables V and VI; \
`control`: a reviewer's questions; `beyond`: not in the paper |
| `against` | the runs that it is compared with, separated by spaces; figures show the first, and so does \
the claim where both are control runs |
| `label` | its name in pages and figures |
| `settings` | the differences from the recipe of the main runs, in words |
"""

from collections import Counter
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import mode
from typing import Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.evaluation.error_table import METHODS, SCORED
from pmnet.report.run_errors import RunErrors, RunFacts
from pmnet.report.tables import MEMORIES

GROUPS: Final = {
    "main": "The memories of Table II",
    "sweep": "Other numbers of prototypes and weights of the limbs",
    "control": "Controls",
    "beyond": "Beyond the paper",
}
COMMON: Final = ("model", "oracle", "chosen_prototype", "assigned_prototype", "mean")


@dataclass(frozen=True)
class BenchmarkRun:
    """A line of runs.csv."""

    run: str
    group: str
    against: str
    label: str
    settings: str

    @property
    def references(self) -> list[str]:
        """Return the names of the runs that it is compared with."""
        return self.against.split()


COLUMNS: Final = [field.name for field in fields(BenchmarkRun)]


def read_listing(path: Path, packed: RunErrors) -> list[BenchmarkRun]:
    """Return the lines of runs.csv, sorted by group; each run of the packed errors has one line.

    Raises InputError, naming file and run, where a run is missing, unknown, listed twice or compared
    with one that is not there, where a group is unknown, and where `main` lacks the single prototype or
    P3DH, has two runs of one memory, or does not compare these two.
    """
    runs = _lines(path)
    names = [run.run for run in runs]
    for run in runs:
        if run.run not in packed or names.count(run.run) > 1:
            raise InputError(f"{path}: run {run.run}: listed twice, or no errors of it are packed")
        if run.group not in (list(GROUPS)[2:] if ":" in run.run else GROUPS):
            raise InputError(f"{path}: group of {run.run} is {run.group!r}, not of {list(GROUPS)}")
        if strange := set(run.references) - set(names) | set(run.references) & {run.run}:
            raise InputError(
                f"{path}: {run.run} is to be compared with {', '.join(sorted(strange))}: "
                "name other runs of this file in `against`"
            )
    if missing := packed.runs.keys() - set(names):
        raise InputError(
            f"{path}: no line for {', '.join(sorted(missing))}; pmnet errors pack adds a draft"
        )
    methods = Counter(packed.facts(run.run).method for run in runs if run.group == "main")
    if not {"single", "p3dh"} <= set(methods) or max(methods.values()) > 1:
        raise InputError(
            f"{path}: the group main needs one run each of single and p3dh, and at most one of each "
            f"other memory, got {', '.join(sorted(methods.elements())) or 'none'}; set `group` of the others"
        )
    main = main_of(runs, packed)
    if main["single"].run not in main["p3dh"].references:
        raise InputError(
            f"{path}: {main['p3dh'].run} is not compared with {main['single'].run}; name it in `against`"
        )
    return sorted(runs, key=lambda run: list(GROUPS).index(run.group))


def add_drafts(path: Path, packed: RunErrors) -> list[str]:
    """Add a line to runs.csv for each packed run that it lacks; return their names.

    Existing lines stay as they are. Group and label are guessed from the names of the graph.
    """
    there = _lines(path) if path.exists() else []
    added = [run for run in _drafts(packed.runs) if run.run not in {line.run for line in there}]
    if added:
        table = pd.DataFrame([astuple(run) for run in (*there, *added)], columns=COLUMNS)
        with replacing(path) as partial:
            table.to_csv(partial, index=False, lineterminator="\n")
    return [run.run for run in added]


def main_of(runs: list[BenchmarkRun], packed: RunErrors) -> dict[str, BenchmarkRun]:
    """Return the main runs by method, in the order of Table II: five where all are trained."""
    main = {packed.facts(run.run).method: run for run in runs if run.group == "main"}
    return {method: main[method] for method in METHODS if method in main}


def control_pairs(runs: list[BenchmarkRun]) -> list[tuple[BenchmarkRun, BenchmarkRun]]:
    """Return the control runs that are compared with a control run first, each with that one."""
    controls = {run.run: run for run in runs if run.group == "control"}
    return [
        (run, controls[run.references[0]])
        for run in controls.values()
        if run.references and run.references[0] in controls
    ]


def _lines(path: Path) -> list[BenchmarkRun]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not readable as CSV ({error}); pmnet errors pack writes a draft"
        ) from None
    if list(table.columns) != COLUMNS:
        raise InputError(
            f"{path}: the columns are {','.join(table.columns)}, not {','.join(COLUMNS)}"
        )
    return [BenchmarkRun(*row) for row in table.itertuples(index=False, name=None)]


def _drafts(runs: dict[str, RunFacts]) -> list[BenchmarkRun]:
    """Return guessed lines: P3DH of the commonest K and limb weight is main, the others are sweeps."""
    named = {run: facts for run, facts in runs.items() if run == _graph_name(facts.method, facts)}
    p3dh = {run: facts for run, facts in named.items() if facts.method == "p3dh"}
    k = mode([facts.k for facts in named.values() if facts.k > 1] or [0])
    limb = mode([facts.limb_weight for facts in p3dh.values()] or [0.0])
    base = next((f for f in p3dh.values() if (f.k, f.limb_weight) == (k, limb)), None)
    drafts = sorted(
        (_draft(run, facts, run in named, base) for run, facts in runs.items()),
        key=lambda run: (list(GROUPS).index(run.group), _order(runs[run.run])),
    )
    return drafts + [
        BenchmarkRun(f"{run}:{other}", "beyond", f"{run} single", f"P3DH, {other} selection", "")
        for run, facts in runs.items()
        for other in facts.inferences
        if facts is base and other not in COMMON
    ]


def _order(facts: RunFacts) -> tuple[int, float, int]:
    return [*METHODS, SCORED].index(facts.method), facts.limb_weight, facts.k


def _draft(run: str, facts: RunFacts, of_graph: bool, base: RunFacts | None) -> BenchmarkRun:
    if not of_graph:
        group = facts.group if facts.group in GROUPS else "control"
        p3dh = f"{_graph_name('p3dh', base)} " if base and group == "beyond" else ""
        return BenchmarkRun(run, group, f"{p3dh}single", facts.label or run, facts.settings)
    label = MEMORIES[facts.method].removesuffix(" (baseline)")
    if facts.method != "p3dh":
        return BenchmarkRun(run, "main", "single" * (run != "single"), label, "")
    if facts is base:
        others = (_graph_name(method, facts) for method in METHODS if method != "p3dh")
        return BenchmarkRun(run, "main", " ".join(others), label, "")
    differs = (
        f"limb weight {facts.limb_weight:g}" if base and facts.k == base.k else f"K = {facts.k}"
    )
    return BenchmarkRun(run, "sweep", "single", f"P3DH, {differs}", "")


def _graph_name(method: str, facts: RunFacts) -> str:
    """Return the name that dvc.yaml gives a run of a method."""
    names = {"single": "single", "p3dh": f"p3dh_k{facts.k}_l{facts.limb_weight}"}
    return names.get(method, f"{method}_k{facts.k}")
