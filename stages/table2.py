"""table2: MPVPE of the five memories (Table II)."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table2(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write MPVPE of the five memories (Table II) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table2(rows, report), out, 2, protocol_of(rows))


if __name__ == "__main__":
    command(table2)
