"""The errors of other systems in the graph: the list of them, and a file for each."""

import json
from pathlib import Path
from typing import Final

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special

LIST: Final = "list.json"


def errors_of_comparators(folder: Path) -> list[Path]:
    """Return the files of errors of the systems that the list of a folder names.

    Files that the list does not name are of systems that params.yaml had before. Raises InputError where
    the list is missing or broken.
    """
    file = folder / LIST
    refuse_special(file)
    try:
        names: list[str] = params.parse(list[str], json.loads(file.read_bytes()), "list")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: not a list of comparators ({error}); run the comparators stage"
        ) from None
    return [folder / f"{name}.parquet" for name in names]
