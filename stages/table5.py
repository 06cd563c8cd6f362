"""table5: MPVPE against the number of prototypes (Table V)."""

from pathlib import Path

from pmnet import tables
from pmnet.error_files import protocol_of, read_errors
from pmnet.params import Report
from pmnet.stage import command


def table5(errors: list[Path], out: Path, report: Report) -> None:
    """Write MPVPE against the number of prototypes (Table V) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table5(rows, report), out, 5, protocol_of(rows))


if __name__ == "__main__":
    command(table5)
