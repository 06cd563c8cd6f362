"""table3: all errors of the baseline and of PM-Net (Table III)."""

from pathlib import Path

from pmnet import tables
from pmnet.error_files import protocol_of, read_errors
from pmnet.params import Report
from pmnet.stage import command


def table3(errors: list[Path], out: Path, report: Report) -> None:
    """Write all errors of the baseline and of PM-Net (Table III) as CSV and Markdown."""
    rows = read_errors(errors)
    tables.write_table(tables.table3(rows, report), out, 3, protocol_of(rows))


if __name__ == "__main__":
    command(table3)
