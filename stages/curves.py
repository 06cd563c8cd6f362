"""curves: error, and reduction against the single prototype, by distance to the mean body."""

from pathlib import Path

from pmnet.core.stage import OutFile, command
from pmnet.report.curves import curves as error_by_distance
from pmnet.report.files import write_csv
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors


def curves(errors: list[Path], out: OutFile, report: ReportOptions) -> None:
    """Write the curves of Figs. 1(b) and 5 as CSV."""
    write_csv(error_by_distance(RunErrors.read(errors), report), out)


if __name__ == "__main__":
    command(curves)
