"""Checkpoints of a training or clustering: named by what goes into it, held by one process at a time.

A finished training keeps its last checkpoint until its evaluation has read the weights: a `dvc` that was
killed has recorded nothing, deletes the weights, and asks for the same training again.
"""

import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pmnet.core.errors import InputError

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
    with (FOLDER / f"{key}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(
                f"{lock.name}: another process ({lock.read()}) is at this very run; wait for it or "
                "end it, then run the same command again: what it has done is not lost"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {platform.node()}")
        lock.flush()
        remove_partials(path_of(key))
        yield path_of(key)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Let no other process train into `folder` while this is entered, be it by other settings."""
    with held(_place(folder)):
        yield


def claim(folder: Path, key: str) -> None:
    """Note that the checkpoint `key` is that of a training into `folder`."""
    (FOLDER / f"{_place(folder)}.{key}.claim").touch()


def forget(folder: Path) -> None:
    """Delete the checkpoints of trainings into `folder`, unless one is at work."""
    with suppress(InputError), held_folder(folder):
        for note in FOLDER.glob(f"{_place(folder)}.*.claim"):
            path_of(note.name.split(".")[1]).unlink(missing_ok=True)
            note.unlink()


def remove_partials(path: Path) -> None:
    """Delete what killed processes had written of `path`; only for who may write it alone."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        partial.unlink(missing_ok=True)


def _place(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]
