"""C3D: recordings of labelled markers, fitted by `pmnet.fitting`; needs the extra `fit` (ezc3d).

Layout: SUBJECT/CLIP.c3d at any depth; the recordings of one subject share their shape.
"""

from pathlib import Path

from pmnet.body import BodyModel
from pmnet.data.samples import Samples
from pmnet.datasets._recordings.adapter import RecordingOptions as Options
from pmnet.datasets._recordings.adapter import found_recordings, read_recordings
from pmnet.datasets._shared.discovery import Found

__all__ = ["Options", "find", "read"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the fitted bodies, put into camera frames; raises InputError naming the file at fault."""
    return read_recordings("c3d", name, source, options, body)


def find(root: Path) -> list[Found]:
    """Return the recordings below `root` as one data set."""
    return found_recordings("c3d", root)
