"""The files of a folder of reports that the page is made of."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pmnet.core.errors import InputError
from pmnet.report.pages import ROMAN


@dataclass(frozen=True)
class ReportFolder:
    """A folder of reports: `tables/`, and `claim.json` or `tables/summary.json`."""

    path: Path

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    @cached_property
    def numbers(self) -> list[int]:
        """Return the numbers of the tables that are there."""
        return [number for number in ROMAN if self.file(f"tables/table{number}.csv").is_file()]

    def files(self) -> list[Path]:
        """Return the files that the page is made of."""
        names = (
            *(f"tables/table{number}.{kind}" for number in self.numbers for kind in ("csv", "md")),
            *("tables/curves.csv", "tables/summary.json", "claim.json"),
        )
        return [path for path in map(self.file, names) if path.is_file()]

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the folder; {} where it is not there."""
        path = self.file(name)
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not readable as JSON ({error}); run dvc repro") from None
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected a JSON object; run dvc repro")
        return content
