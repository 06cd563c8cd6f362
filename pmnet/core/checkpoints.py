"""Checkpoints of trainings and clusterings: named by a hash of their inputs, locked while they are in use.

A finished training keeps its last checkpoint until its evaluation has read the weights. A `dvc` that was
killed has recorded nothing: it deletes the weights and starts the same training again, which then goes on
from that checkpoint.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pmnet.core.errors import InputError
from pmnet.core.files import remove_partials

FOLDER = Path(os.environ.get("PMNET_WORK", ".work")) / "checkpoints"


def training_key(settings: Any, files: list[Path]) -> str:
    """Return the name of a checkpoint: a hash of settings, input files and the imported code."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    modules = (module for name, module in sys.modules.items() if name.split(".")[0] == "pmnet")
    code = sorted({Path(module.__file__) for module in modules if module.__file__})
    for path in [*files, *code]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:20]


def path_of(key: str) -> Path:
    """Return the path of the checkpoint `key`."""
    return FOLDER / f"{key}.ckpt"


@contextmanager
def held(key: str) -> Iterator[Path]:
    """Lock the checkpoint `key` and yield its path; the system frees the lock when the process ends.

    A killed `dvc` leaves its stage alive, and a second stage must not write the same file. Raises
    InputError where another process holds the lock, or where the lock cannot be written.
    """
    with _locked(FOLDER / f"{key}.lock"):
        remove_partials(path_of(key))
        yield path_of(key)


@contextmanager
def held_seed(folder: Path, seed: int) -> Iterator[None]:
    """Lock the training of `seed` into `folder` against trainings with any settings; see `held`."""
    with held(_output(folder, seed)):
        yield


def claim(folder: Path, seed: int, key: str) -> None:
    """Note that the training of `seed` into `folder` uses the checkpoint `key`."""
    (FOLDER / f"{_output(folder, seed)}.{key}.claim").touch()


def forget(folder: Path) -> None:
    """Delete the checkpoints of all seeds trained into `folder`, except those in training now."""
    for note in FOLDER.glob(f"{_hash_of(folder)}-*.claim"):
        output, key, _ = note.name.split(".")
        with suppress(InputError), held(output):
            path_of(key).unlink(missing_ok=True)
            note.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file, which then names this process; raises InputError, see `held`."""
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{path}: another process ({_holder(path)}) is already doing this work; wait for it or "
            "end it, then run the same command again: what it has done is not lost"
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        try:
            path.write_text(f"{os.getpid()} on {platform.node()}")
        except OSError as error:
            raise _unwritable(path, error) from None
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return "unknown"


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be locked ({error.strerror or error}); make room on the disk, or set PMNET_WORK "
        "to a folder that can be written"
    )


def _output(folder: Path, seed: int) -> str:
    return f"{_hash_of(folder)}-{seed}"


def _hash_of(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]
