"""Writing files whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pmnet.core.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` only when the block ends without an error.

    Raises InputError where the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); the file that was there is kept: make room "
            "on the disk and run the same command again"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
