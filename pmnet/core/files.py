"""Files: only those that end are read, and they are written whole or not at all."""

import errno
import fcntl
import glob
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pmnet.core.errors import InputError

KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
EXPANSION: Final = 20  # times its size on disk that a file may take in memory
SMALL_CONTENT: Final = 500_000_000  # bytes that any file may take
OTHERWISE: Final = "give another path"
CURES: Final = {
    errno.ENOSPC: "make room on the disk and run the same command again",
    errno.EDQUOT: "make room in your quota and run the same command again",
    errno.EISDIR: "a folder of this name is in the way: move it, or give another path",
    errno.ENOTDIR: "a file lies where a folder is needed: move it, or give another path",
    errno.EEXIST: "a file lies where a folder is needed: move it, or give another path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "give a path on a disk that can be written",
    errno.EACCES: "give a path that you may write to",
    errno.EPERM: "give a path that you may write to",
    errno.ENOENT: "no folder can be made there: give another path",
}
LONGEST_PID: Final = 4194304  # names of half-written files hold a process id


def refuse_special(path: Path) -> None:
    """Raise InputError where a path is there, but is not a file: reading a pipe may wait for ever."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return  # the reader says what is missing and how it is made
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from None
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS if is_kind(mode)), "something else")
        raise InputError(f"{path}: is {kind}; expected a file")


def largest_content(path: Path) -> int:
    """Return how many bytes the content of a file may take in memory; one that takes more is a bomb."""
    return most_bytes(path.stat().st_size)


def most_bytes(size: int) -> int:
    """Return how many bytes the content of `size` bytes of a file may take in memory."""
    return max(SMALL_CONTENT, EXPANSION * size)


def value_bytes(content: bytes, costs: Mapping[bytes, int]) -> int:
    """Return about how many bytes the values in `content` take: each mark in `costs` makes a value."""
    return sum(content.count(mark) * cost for mark, cost in costs.items())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` only when the block ends without an error.

    What writers of `path` have left that were killed is deleted. Raises InputError where the file cannot
    be written: the disk is full, a folder is in the way, and so on.
    """
    partial = _partial_of(path, os.getpid())
    handle = None
    try:
        with _explained(path, partial):
            refuse_replacing(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_partials(path)
            handle = _locked(partial)
            yield partial
        if not partial.exists() or not partial.stat().st_size:
            raise FileNotFoundError(f"nothing was written to {partial}")
        with _explained(path, partial):
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def remove_partials(path: Path) -> None:
    """Delete the half-written copies of `path` whose writers have ended without deleting them."""
    for name in glob.glob(f".{glob.escape(path.name)}.*.partial", root_dir=path.parent):
        with suppress(OSError):
            _unlink_if_dead(path.parent / name)


def refuse_unwritable(path: Path, folder: bool = False) -> None:
    """Raise InputError where the file `path` (or a file in the folder `path`) cannot be written.

    Long work calls this first. Nothing is left behind, neither a file nor a folder.
    """
    try:
        if folder:
            if path.exists() and not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory")
            inside = path / "x"
        else:
            refuse_replacing(path)
            inside = path
        there, names = inside.parent, [_partial_of(inside, LONGEST_PID).name]
        while not there.exists() and there.name:
            there.is_symlink() and there.stat()
            there, names = there.parent, [*names, there.name]
        if max(len(os.fsencode(name)) for name in names) > os.pathconf(there, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        probe = there / f".{os.getpid()}.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def refuse_replacing(path: Path) -> None:
    """Raise InputError where something that is no file is at a path: a folder, or /dev/null."""
    if path.is_dir() or not path.name:
        raise _unwritable(path, OSError(errno.EISDIR, "Is a directory"))
    if path.exists():
        refuse_special(path)


def _partial_of(path: Path, pid: int) -> Path:
    return path.with_name(f".{path.name}.{pid}.partial") if path.name else path


def _locked(partial: Path) -> int:
    """Make a file and lock it; return its handle. The lock ends with the process, however that ends."""
    handle = os.open(partial, os.O_CREAT | os.O_WRONLY, 0o666)
    with suppress(
        OSError
    ):  # some network disks have no locks: nobody deletes the file there either
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _unlink_if_dead(partial: Path) -> None:
    handle = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while the writer lives
        partial.unlink(missing_ok=True)
    finally:
        os.close(handle)


@contextmanager
def _explained(path: Path, partial: Path) -> Iterator[None]:
    """Turn an error of writing `path` into an InputError; an error of another file stays."""
    try:
        yield
    except OSError as error:
        ours = {str(place) for place in (partial, path, *path.parents)}
        if error.filename is not None and os.fsdecode(error.filename) not in ours:
            raise
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    kept = "the file that was there is kept: " if os.path.isfile(path) else ""
    cure = CURES.get(error.errno or 0, OTHERWISE)
    return InputError(f"{path}: cannot be written ({error.strerror or error}); {kept}{cure}")
