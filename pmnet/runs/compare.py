"""Experiments of DVC side by side: their headline numbers, and the parameters in which they differ.

`dvc exp show` has a column per parameter and per dependency, and no setting of DVC says which to show: its
options do.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pmnet.core.errors import InputError
from pmnet.formats.json import read_json

HEADLINE: Final = Path("reports/metrics.json")


def headline() -> dict[str, float]:
    """Return the numbers that `dvc metrics show` shows; none before the graph has run."""
    numbers = read_json(HEADLINE) if HEADLINE.is_file() else {}
    return numbers if isinstance(numbers, dict) else {}


def show_experiments(options: Sequence[str]) -> None:
    """Print the experiments, with further options of `dvc exp show`; raises InputError where DVC fails."""
    names = "|".join(map(re.escape, headline()))
    keep = ["--keep", f"({names})$"] if names else []
    without_files = ["--drop", ".*/"]  # the columns of dependencies are paths
    command = [sys.executable, "-m", "dvc", "exp", "show", "--only-changed", *without_files, *keep]
    if subprocess.run([*command, *options]).returncode:
        raise InputError("dvc exp show failed, see above")
