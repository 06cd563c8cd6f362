"""Writing files whole or not at all, and reading those of others."""

import errno
import os
import tokenize
import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from pmnet.errors import InputError


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
            f"{path}: cannot be written ({error.strerror}); what was there before is kept: make room on "
            "the disk and run the same command again"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def read_npz(path: Path, keys: Container[str]) -> dict[str, np.ndarray]:
    """Return those arrays of an .npz that are among `keys`; raises InputError where it is none."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise ValueError("it is one array")
        with archive:
            return {key: archive[key] for key in archive.files if key in keys}
    except (
        # what numpy, zipfile and zlib say of damaged bytes
        ValueError,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(
            f"{path}: not a readable .npz ({error}); copy or download it anew"
        ) from None
