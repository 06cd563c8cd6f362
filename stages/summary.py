"""summary: the headline for `dvc metrics`, and all main numbers."""

import json
from pathlib import Path
from typing import Any

from pmnet.core.files import replacing
from pmnet.core.stage import OutFile, command
from pmnet.report import summary as numbers_of
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors


def summary(errors: list[Path], out: OutFile, all: OutFile, report: ReportOptions) -> None:
    """Write at most six numbers over all test samples as JSON, and all main numbers to `--all`.

    The headline compares P3DH with the single prototype. `--all` has errors, tails, gains with
    intervals and the share of right prototypes by method and data set, nested.
    """
    measured = RunErrors.read(errors)
    _write(numbers_of.headline(measured, report), out)
    _write(numbers_of.summary(measured, report), all)


def _write(numbers: dict[str, Any], path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    command(summary)
