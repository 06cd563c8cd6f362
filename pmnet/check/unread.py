"""The files below a folder that no reader can open, whatever data set they belong to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import h5py

from pmnet.core.errors import InputError
from pmnet.datasets._shared.discovery import files_below
from pmnet.formats.hdf5 import read_hdf5
from pmnet.formats.kinds import cure_of, is_damaged
from pmnet.formats.npz import npz_keys, read_npz

HEAD: Final = 128  # bytes of the header of a MATLAB file
ENDINGS: Final = (".npz", ".npy", ".pkl", ".json", ".h5", ".hdf5", ".mat")


def unreadable(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file below `root` that its reader refuses at once, with the reader's message.

    Only the kind of the file is looked at, so this takes no longer than the walk.
    """
    for path in files_below(root, *ENDINGS):
        try:
            if path.is_file():
                _look(path)
        except InputError as error:
            yield path, str(error)


def _look(path: Path) -> None:
    """Raise InputError where the start or the list of contents of a file is not of its kind."""
    try:
        with path.open("rb") as stream:
            start = stream.read(HEAD)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    match path.suffix:
        case ".npz" if not npz_keys(path):
            read_npz(path, ())
        case ".h5" | ".hdf5":
            read_hdf5(path, ())
        case ".mat" if h5py.is_hdf5(path):
            read_hdf5(path, ())
        case ".mat" if start[-2:] not in (b"IM", b"MI"):
            raise InputError(f"{path}: not a MATLAB file; {cure_of(path)}")
        case ".npy" if not start.startswith(b"\x93NUMPY"):
            raise InputError(f"{path}: not a readable .npy; {cure_of(path)}")
        case ".pkl" if is_damaged(path):
            raise InputError(f"{path}: not a whole pickle; {cure_of(path)}")
        case ".json" if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            raise InputError(f"{path}: not readable JSON; {cure_of(path)}")
        case _:
            pass
