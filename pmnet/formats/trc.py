"""TRC: tab-separated trajectories, as OpenSim, Cortex and Pose2Sim write them.

Line 1 names the kind of file; lines 2 and 3 are names and values (DataRate, NumFrames, NumMarkers, Units);
line 4 has `Frame#`, `Time` and a label at the first of its three columns; line 5 X1 Y1 Z1 ...; then a row
per frame, with empty fields where a marker is missing.
"""

from pathlib import Path

import numpy as np

from pmnet.core.errors import InputError
from pmnet.formats.trajectories import Trajectories, in_metres


def read_trc(path: Path, unit: str = "") -> Trajectories:
    """Return the trajectories of a .trc; `unit` overrules the file's.

    Raises InputError naming the line that is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(lines) < 6 or not lines[0].startswith("PathFileType"):
        raise InputError(
            f"{path}: not a .trc: expected 'PathFileType' in line 1, a header of five lines and "
            "a row per frame; export it anew"
        )
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    labels = [label.strip() for label in lines[3].split("\t")[2:] if label.strip()]
    if not labels:
        raise InputError(f"{path}: line 4 has no label of a marker")
    width = 2 + 3 * len(labels)
    rows = [
        _numbers(path, number, line, width)
        for number, line in enumerate(lines[5:], 6)
        if line.strip()
    ]
    if not rows:
        raise InputError(f"{path}: has no frame; the file is cut short")
    _check_count(path, header, len(rows))
    points = np.array(rows)[:, 2:].reshape(len(rows), -1, 3)
    return Trajectories(
        labels, in_metres(path, points, unit or header.get("Units", "")), _rate(path, header)
    )


def _numbers(path: Path, number: int, line: str, width: int) -> list[float]:
    fields = [field.strip() for field in line.split("\t")][:width]
    fields += [""] * (width - len(fields))
    try:
        return [float(field) if field else np.nan for field in fields]
    except ValueError:
        raise InputError(f"{path}: line {number} holds what is no number; export it anew") from None


def _check_count(path: Path, header: dict[str, str], rows: int) -> None:
    told = header.get("NumFrames", "").strip()
    if told.isdigit() and int(told) > rows:
        raise InputError(
            f"{path}: has {rows} of the {told} frames that its header names; the file is cut short"
        )


def _rate(path: Path, header: dict[str, str]) -> float:
    try:
        rate = float(header.get("DataRate", ""))
    except ValueError:
        rate = float("nan")
    if not 0 < rate < 1e5:
        raise InputError(
            f"{path}: line 3 has no DataRate above 0; write the frames per second there"
        )
    return rate
