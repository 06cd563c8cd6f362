"""table: one of Tables II to VI, ours and the paper's."""

from pathlib import Path

from pmnet.core.stage import command
from pmnet.evaluation.error_table import protocol_of, read_errors
from pmnet.report import tables
from pmnet.report.options import ReportOptions


def table(number: int, errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write one of Tables II to VI as CSV and, beside it, as Markdown.

    2: the five memories, 3: whole test sets, 4: tails, 5: the number of prototypes K, 6: the weight
    of the limbs.
    """
    rows = read_errors(errors)
    tables.write_table(tables.table(number, rows, report), out, number, protocol_of(rows))


if __name__ == "__main__":
    command(table)
