"""curves: error, and reduction against the single prototype, by distance to the mean body."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import read_errors
from pmnet.report import statistics
from pmnet.report.options import ReportOptions


def curves(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write the curves of Figs. 1(b) and 5 as CSV."""
    statistics.write_csv(statistics.curves(read_errors(errors), report), out)


if __name__ == "__main__":
    command(curves)
