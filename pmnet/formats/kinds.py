"""What a file is that is not what its name says: the cure in the message of a reader that refused it."""

from pathlib import Path
from typing import Final

LOOKED_AT: Final = 512  # bytes at the start
STARTS: Final = (
    (b"version https://git-lfs", "it is a pointer of Git LFS, not the file: run `git lfs pull`"),
    (b"oid sha256:", "it is a pointer of Git LFS, not the file: run `git lfs pull`"),
    (b"\x89HDF\r\n\x1a\n", "it is HDF5, which MATLAB 7.3 writes too"),
    (b"MATLAB 7.3", "it is a file of MATLAB 7.3; save it anew with `save -v7`"),
    (b"MATLAB 5.0", "it is a file of MATLAB version 5 to 7; save it anew with `save -v7.3`"),
    (b"PK\x03\x04", "it is a zip or an npz: give it the ending .npz, or unpack it"),
    (b"\x93NUMPY", "it is one array of numpy: give it the ending .npy"),
    (b"\x1f\x8b", "it is packed by gzip: unpack it"),
    (b"\x80", "it is a pickle: give it the ending .pkl"),
)


def cure_of(path: Path) -> str:
    """Return what a file is and what to do, for a reader that could not read it."""
    try:
        with path.open("rb") as stream:
            start = stream.read(LOOKED_AT)
    except OSError:
        return "check the path"
    if not start:
        return "it is empty: copy or download it anew"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a page of a web site, most likely of a login: download it anew in a browser"
    found = (cure for mark, cure in STARTS if start.startswith(mark) and not _own(path, mark))
    return next(found, "copy or download it anew")


def _own(path: Path, mark: bytes) -> bool:
    """Return whether a mark is the right one for the ending of a file: then the file is damaged."""
    own = {b"PK\x03\x04": ".npz", b"\x93NUMPY": ".npy", b"\x80": ".pkl"}
    return path.suffix == own.get(mark)


def is_damaged(path: Path) -> bool:
    """Return whether a file cannot be a whole pickle: it is empty, ends early or is another kind of file."""
    try:
        with path.open("rb") as stream:
            stream.seek(-1, 2)
            last = stream.read(1)
    except OSError:
        return True
    return last != b"." or not cure_of(path).startswith("copy")
