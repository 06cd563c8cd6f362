"""table4: MPVPE of the samples farthest from the mean body (Table IV)."""

from pathlib import Path

from pmnet import tables
from pmnet.error_files import protocol_of, read_errors
from pmnet.params import Report
from pmnet.stage import command


def table4(errors: list[Path], out: Path, report: Report) -> None:
    """Write MPVPE of the samples farthest from the mean body (Table IV) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table4(rows, report), out, 4, protocol_of(rows))


if __name__ == "__main__":
    command(table4)
