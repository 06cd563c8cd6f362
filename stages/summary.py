"""summary: the main numbers for `dvc metrics`."""

import json
from pathlib import Path

from pmnet import analysis
from pmnet.error_files import read_errors
from pmnet.files import replacing
from pmnet.params import Report
from pmnet.stage import command


def summary(errors: list[Path], out: Path, report: Report) -> None:
    """Write errors, tails, the gain of P3DH and the share of right prototypes as nested JSON."""
    found = analysis.summary(read_errors(errors), report)
    with replacing(out) as partial:
        partial.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    command(summary)
