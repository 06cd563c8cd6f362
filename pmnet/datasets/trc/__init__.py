"""TRC of OpenSim, Cortex and Pose2Sim: recordings of markers or joints, fitted by `pmnet.fitting`.

Layout: SUBJECT/CLIP.trc at any depth; the recordings of one subject share their shape.
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
    return read_recordings("trc", name, source, options, body)


def find(root: Path) -> list[Found]:
    """Return the recordings below `root` as one data set."""
    return found_recordings("trc", root)
