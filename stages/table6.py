"""table6: MPVPE against the weight of the limbs (Table VI)."""

from pathlib import Path

from pmnet import tables
from pmnet.error_files import protocol_of, read_errors
from pmnet.params import Report
from pmnet.stage import command


def table6(errors: list[Path], out: Path, report: Report) -> None:
    """Write MPVPE against the weight of the limbs (Table VI) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table6(rows, report), out, 6, protocol_of(rows))


if __name__ == "__main__":
    command(table6)
