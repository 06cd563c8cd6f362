"""Reads files of Arrow, memory-mapped and checked."""

from pathlib import Path

import pyarrow as pa

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special


def open_arrow(path: Path, what: str, stage: str) -> pa.Table:
    """Return the table of a file of `what` ("samples"), which `stage` writes.

    Raises InputError where the file is missing, cut short or damaged.
    """
    refuse_special(path)
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)  # a damaged offset would be read outside of the file
        return table
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of {what}; run the {stage} stage first") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a file of {what}, or cut short ({error})") from None
