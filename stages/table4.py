"""table4: MPVPE of the samples farthest from the mean body (Table IV)."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table4(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write MPVPE of the samples farthest from the mean body (Table IV) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table4(rows, report), out, 4, protocol_of(rows))


if __name__ == "__main__":
    command(table4)
