"""table6: MPVPE against the weight of the limbs (Table VI)."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table6(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write MPVPE against the weight of the limbs (Table VI) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table6(rows, report), out, 6, protocol_of(rows))


if __name__ == "__main__":
    command(table6)
