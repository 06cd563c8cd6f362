"""Checkpoints of a training or clustering: named by what goes into it, held by one process at a time."""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pmnet.errors import InputError

FOLDER = Path(os.environ.get("PMNET_WORK", ".work")) / "checkpoints"


def training_key(settings: Any, files: list[Path]) -> str:
    """Return a name for a piece of work: a hash of its settings, its input files and the code in use."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    modules = (module for name, module in sys.modules.items() if name.split(".")[0] == "pmnet")
    code = sorted({Path(module.__file__) for module in modules if module.__file__})
    for path in [*files, *code]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:20]


def path_of(key: str) -> Path:
    """Return where the checkpoint `key` is."""
    return FOLDER / f"{key}.ckpt"


@contextmanager
def held(key: str) -> Iterator[Path]:
    """Yield the path of the checkpoint `key` while no other process can hold it.

    A killed `dvc` leaves its stage alive; a second one must not write the same file. Raises
    InputError where another process holds it.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{lock.name}: another process is at this very run; wait for it or end it"
            ) from None
        yield path_of(key)
