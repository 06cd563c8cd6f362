"""curves: error, and reduction against the single prototype, by distance to the mean body."""

from pathlib import Path

from pmnet import analysis
from pmnet.error_files import read_errors
from pmnet.params import Report
from pmnet.stage import command


def curves(errors: list[Path], out: Path, report: Report) -> None:
    """Write the curves of Figs. 1(b) and 5 as CSV."""
    analysis.write_csv(analysis.curves(read_errors(errors), report), out)


if __name__ == "__main__":
    command(curves)
