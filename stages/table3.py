"""table3: all errors of the baseline and of PM-Net (Table III)."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table3(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write all errors of the baseline and of PM-Net (Table III) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table3(rows, report), out, 3, protocol_of(rows))


if __name__ == "__main__":
    command(table3)
