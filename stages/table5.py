"""table5: MPVPE against the number of prototypes (Table V)."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table5(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write MPVPE against the number of prototypes (Table V) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table5(rows, report), out, 5, protocol_of(rows))


if __name__ == "__main__":
    command(table5)
