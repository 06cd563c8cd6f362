"""The claim of the README: the gains of P3DH over the single prototype and the other memories."""

from typing import Any, Final

import pandas as pd

from pmnet.report.benchmark.listing import BenchmarkRun, control_pairs, main_of
from pmnet.report.labels import DATASET_NAMES, subset_label
from pmnet.report.run_errors import RunErrors
from pmnet.report.tables import MEMORIES
from pmnet.report.wording import gain_in_words, is_clear

NUMBERS: Final = ["mean_mm", "against_mm", "gain_mm", "low_mm", "high_mm", "seed_sd_mm"]
CLIPS: Final = ["low_clips_mm", "high_clips_mm"]
CHANCE: Final = 0.05


def claim(table: pd.DataFrame, packed: RunErrors, runs: list[BenchmarkRun]) -> dict[str, Any]:
    """Return `sentence`, and the gains of main P3DH over each other memory, by subset and error.

    `interval` is the kind of the intervals in `gains`, `redrawn` what was redrawn for them, and
    `clips_only` has the intervals with clips alone redrawn, `controls` the gains of pairs of control runs.
    The numbers are of the first test set; `more` has those of further test sets by name. `table` is the one
    that `paired` returns.
    """
    claims = {
        dataset: _of_dataset(table[table["dataset"] == dataset], packed.of_samples(where), runs)
        for dataset, where in packed.datasets().items()
    }
    first, *others = claims
    sentences = [numbers["sentence"] for numbers in claims.values()]
    if others:
        named = zip(claims, sentences, strict=True)
        sentences = [f"{DATASET_NAMES.get(name, name)}: {text}" for name, text in named]
    more = {"more": {name: claims[name] for name in others}} if others else {}
    return claims[first] | {"sentence": " ".join(sentences)} | more


def _of_dataset(table: pd.DataFrame, packed: RunErrors, runs: list[BenchmarkRun]) -> dict[str, Any]:
    main = main_of(runs, packed)
    p3dh = table[table["run"] == main["p3dh"].run]
    gains, clips_only = dict[str, Any](), dict[str, Any]()
    for method, run in main.items():
        rows = p3dh[p3dh["against"] == run.run]
        if not rows.empty:
            gains[method], clips_only[method] = _cells(rows, NUMBERS), _cells(rows, CLIPS)
    whole = p3dh[(p3dh["against"] == main["single"].run) & (p3dh["subset"] == "all")].iloc[0]
    shown = table.dropna(subset="gain_mm")
    clear = sum(map(is_clear, shown["low_mm"], shown["high_mm"]))
    numbers: dict[str, Any] = {
        "interval": "seeds x clips" if "seeds" in whole["interval"] else "clips",
        "redrawn": whole["interval"],
        "gains": gains,
        "clips_only": {
            method: {name: list(cell.values()) for name, cell in cells.items()}
            for method, cells in clips_only.items()
        },
        "controls": {
            run.run: _control(table, packed, run, other) for run, other in control_pairs(runs)
        },
        "seeds": {method: len(packed.runs[run.run].seeds) for method, run in main.items()},
        "clustering_seeds": {
            method: len(set(packed.runs[run.run].memory_seeds)) for method, run in main.items()
        },
        "samples": len(packed.samples),
        "sequences": int(whole["clips"]),
        "subjects": int(whole["subjects"]),
        "comparisons": {
            "shown": len(shown),
            "clear": clear,
            "clear_by_chance": round(CHANCE * len(shown), 1),
        },
    }
    return {"sentence": sentence(numbers), **numbers}


def sentence(numbers: dict[str, Any]) -> str:
    """Return the claim in words, whatever its sign: what contains zero is not a gain."""
    single, seeds = numbers["gains"]["single"], numbers["seeds"]
    others = [
        _words(cells["all_mpvpe"], MEMORIES[method], "than")
        for method, cells in numbers["gains"].items()
        if method != "single"
    ]
    few, many = min(seeds.values()), max(seeds.values())
    trained = _seeds(many) if few == many else f"{few} to {many} seeds"
    return (
        f"P3DH against the single prototype: {_by_subset(single)}. "
        + f"Against the other memories: MPVPE {', '.join(others)}. " * bool(others)
        + "".join(
            f"{cells['label']}, against {cells['against']}: {_by_subset(cells)} "
            f"({_trained(cells, numbers['redrawn'])}). "
            for cells in numbers["controls"].values()
        )
        + f"(Means of {trained}, {numbers['samples']:,} images of {numbers['sequences']} clips of "
        f"{numbers['subjects']} subjects; in brackets 95 % intervals of the paired differences, "
        f"redrawn: {numbers['redrawn'] or 'nothing'}.)"
    )


def _control(
    table: pd.DataFrame, packed: RunErrors, run: BenchmarkRun, other: BenchmarkRun
) -> dict[str, Any]:
    rows = table[(table["run"] == run.run) & (table["against"] == other.run)]
    seeds = (len(packed.facts(name).seeds) for name in (run.run, other.run))
    about = {"label": run.label, "against": other.label, "seeds": min(seeds)}
    return about | {"redrawn": rows["interval"].iloc[0]} | _cells(rows, NUMBERS)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"


def _trained(cells: dict[str, Any], usual: str) -> str:
    """Return how many seeds a control has, and what is redrawn for its intervals if not the usual."""
    redrawn = f", redrawn: {cells['redrawn'] or 'nothing'}"
    return _seeds(cells["seeds"]) + redrawn * (cells["redrawn"] != usual)


def _by_subset(cells: dict[str, Any]) -> str:
    """Return the gains of MPVPE in each subset, and that of PA-MPJPE over all, in words."""
    subsets = [name.removesuffix("_mpvpe") for name in cells if name.endswith("_mpvpe")]
    parts = [_words(cells[f"{name}_mpvpe"], subset_label(name)) for name in subsets]
    return f"MPVPE {', '.join(parts)}; PA-MPJPE {_words(cells['all_pa_mpjpe'], 'all')}"


def _cells(rows: pd.DataFrame, names: list[str]) -> dict[str, dict[str, float | None]]:
    cells = zip(rows["subset"], rows["metric"], rows[names].to_numpy(), strict=True)
    return {f"{subset}_{metric}": _cell(names, values) for subset, metric, values in cells}


def _cell(names: list[str], values: Any) -> dict[str, float | None]:
    cell = zip(names, values, strict=True)
    return {name: round(float(x), 3) if x == x else None for name, x in cell}


def _words(cell: dict[str, Any], against: str, joint: str = "over") -> str:
    gain, low, high = (cell[name] for name in ("gain_mm", "low_mm", "high_mm"))
    return gain_in_words(gain, low, high, against, joint)
