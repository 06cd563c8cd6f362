"""summary: the main numbers for `dvc metrics`."""

import json
from pathlib import Path

from pmnet.core.files import replacing
from pmnet.core.stage import command
from pmnet.evaluation.error_table import read_errors
from pmnet.report import statistics
from pmnet.report.options import ReportOptions


def summary(errors: list[Path], out: Path, report: ReportOptions) -> None:
    """Write errors, tails, the gain of P3DH and the share of right prototypes as nested JSON."""
    found = statistics.summary(read_errors(errors), report)
    with replacing(out) as partial:
        partial.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    command(summary)
