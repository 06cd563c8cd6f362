"""table: one of Tables II to VI, ours and the paper's."""

from pathlib import Path

from pmnet.core.stage import OutFile, command
from pmnet.report import tables
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors


def table(number: int, errors: list[Path], out: OutFile, report: ReportOptions) -> None:
    """Write one of Tables II to VI as CSV and, beside it, as Markdown and LaTeX.

    2: the five memories, 3: whole test sets, 4: tails, 5: the number of prototypes K, 6: the weight
    of the limbs.
    """
    measured = RunErrors.read(errors)
    made = tables.table(number, measured, report)
    tables.write_table(made, out, number, measured.protocol())


if __name__ == "__main__":
    command(table)
