"""table: one of Tables II to VI, ours and the paper's."""

from pathlib import Path

from pmnet.core.stage import OutFile, command
from pmnet.report import tables
from pmnet.report.comparators import errors_of_comparators
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors


def table(
    number: int,
    errors: list[Path],
    out: OutFile,
    report: ReportOptions,
    comparators: Path | None = None,
) -> None:
    """Write one of Tables II to VI as CSV and, beside it, as Markdown and LaTeX.

    2: the five memories, 3: whole test sets, 4: tails, 5: the number of prototypes K, 6: the weight
    of the limbs. `comparators` is the folder of other systems' errors, which get rows of their own.
    """
    others = [] if comparators is None else errors_of_comparators(comparators)
    measured = RunErrors.read([*errors, *others])
    made = tables.table(number, measured, report)
    tables.write_table(made, out, number, measured.protocol())


if __name__ == "__main__":
    command(table)
