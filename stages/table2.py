"""table2: MPVPE of the five memories (Table II)."""

from pathlib import Path

from pmnet import tables
from pmnet.error_files import protocol_of, read_errors
from pmnet.params import Report
from pmnet.stage import command


def table2(errors: list[Path], out: Path, report: Report) -> None:
    """Write MPVPE of the five memories (Table II) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table2(rows, report), out, 2, protocol_of(rows))


if __name__ == "__main__":
    command(table2)
