"""The claim of the README: the gains of P3DH over the single prototype and the other memories."""

from typing import Any, Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.report.benchmark.listing import BenchmarkRun, main_of
from pmnet.report.labels import subset_label
from pmnet.report.run_errors import RunErrors
from pmnet.report.tables import MEMORIES

NUMBERS: Final = ["mean_mm", "against_mm", "gain_mm", "low_mm", "high_mm", "seed_sd_mm"]


def claim(table: pd.DataFrame, packed: RunErrors, runs: list[BenchmarkRun]) -> dict[str, Any]:
    """Return `sentence`, and the gains of main P3DH over each other memory, by subset and error.

    `table` is the one that `paired` returns. Raises InputError where P3DH was not compared with the
    single prototype.
    """
    main = main_of(runs, packed)
    p3dh = table[table["run"] == main["p3dh"].run]
    gains = {}
    for method, run in main.items():
        rows = p3dh[p3dh["against"] == run.run]
        cells = zip(rows["subset"], rows["metric"], rows[NUMBERS].to_numpy(), strict=True)
        gains[method] = {f"{subset}_{metric}": _cell(values) for subset, metric, values in cells}
    if not gains["single"]:
        raise InputError(
            f"runs.csv: {main['p3dh'].run} is not compared with {main['single'].run}; "
            "name it in `against`"
        )
    numbers: dict[str, Any] = {
        "gains": {method: cells for method, cells in gains.items() if cells},
        "seeds": {method: len(packed.runs[run.run].seeds) for method, run in main.items()},
        "samples": len(packed.samples),
        "sequences": int(packed.samples["sequence"].nunique()),
    }
    return {"sentence": sentence(numbers), **numbers}


def sentence(numbers: dict[str, Any]) -> str:
    """Return the claim in words, whatever its sign."""
    single, seeds = numbers["gains"]["single"], numbers["seeds"]
    subsets = [name.removesuffix("_mpvpe") for name in single if name.endswith("_mpvpe")]
    parts = [f"{_words(single[f'{name}_mpvpe'])} over {subset_label(name)}" for name in subsets]
    others = [
        f"{_words(cells['all_mpvpe'])} than {MEMORIES[method]}"
        for method, cells in numbers["gains"].items()
        if method != "single"
    ]
    few, many = sorted((seeds["single"], seeds["p3dh"]))
    trained = f"{many} seed{'s' * (many > 1)}" if few == many else f"{few} to {many} seeds"
    return (
        f"P3DH against the single prototype: MPVPE is {', '.join(parts)}; "
        f"PA-MPJPE is {_words(single['all_pa_mpjpe'])} over all. "
        + f"MPVPE is {', '.join(others)}. "
        * bool(others)
        + f"(Means of {trained}, {numbers['samples']:,} images of {numbers['sequences']} sequences; "
        "in brackets 95 % intervals of the paired differences, sequences redrawn.)"
    )


def _cell(values: Any) -> dict[str, float | None]:
    cell = zip(NUMBERS, values, strict=True)
    return {name: round(float(x), 2) if x == x else None for name, x in cell}


def _words(cell: dict[str, float]) -> str:
    """Return a gain as a text: how much lower the error is, or higher."""
    gain, low, high = (cell[name] for name in ("gain_mm", "low_mm", "high_mm"))
    sign, word = (1, "lower") if gain >= 0 else (-1, "higher")
    bounds = "" if low is None else " [{:.1f}, {:.1f}]".format(*sorted((sign * low, sign * high)))
    return f"{sign * gain:.1f} mm{bounds} {word}"
