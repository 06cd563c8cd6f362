"""The table of the benchmark of training."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pmnet.core.files import replacing


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    what: str
    images_per_s: float
    peak_gib: float
    machine: str


class Table:
    """The rows measured so far, in the file after each; those of other runs that were not measured stay."""

    def __init__(self, file: Path | None, machine: str) -> None:
        self._file, self._machine = file, machine
        self.rates: dict[str, float] = {}

    def add(self, what: str, rate: float, peak_gib: float) -> None:
        """Print a row and write it."""
        row = Row(what, round(rate, 1), round(peak_gib, 3), self._machine)
        print("  ".join(map(str, asdict(row).values())), flush=True)
        self.rates[what] = rate
        if self._file is None:
            return
        names = [field.name for field in fields(Row)]
        rows = {kept["what"]: kept for kept in _read(self._file)} | {what: asdict(row)}
        with replacing(self._file) as unfinished, unfinished.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows.values())


def _read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def summary(rates: dict[str, float]) -> list[str]:
    """Return our loop beside the others."""
    ours = {what: rate for what, rate in rates.items() if what.startswith("pmnet")}
    lines = []
    for what, rate in ours.items():
        for other in ("bare_encoder", "spin_style_loop", "spin_style_loop_tf32"):
            if other in rates:
                lines.append(f"{what}: {rate / rates[other]:.2f} times {other}")
    return lines
