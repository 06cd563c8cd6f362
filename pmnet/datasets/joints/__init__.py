"""Joints of any named set, or AMASS's markers: recordings as .npz or .csv, fitted by `pmnet.fitting`.

Layout: SUBJECT/CLIP.npz or .csv at any depth; the recordings of one subject share their shape. An .npz has
`joints` (T, J, 3) with their names in `labels`, or `markers` (T, M, 3) with `labels`, and `mocap_framerate`;
a .csv has a column `time` (s) and NAME_x, NAME_y, NAME_z per joint. Both are in m. `fitting/joints.yaml` has
the names. Files of other kinds are left out.
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
    return read_recordings("joints", name, source, options, body)


def find(root: Path) -> list[Found]:
    """Return the recordings below `root` as one data set."""
    return found_recordings("joints", root)
