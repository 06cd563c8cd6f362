"""The recordings of many subjects to a folder of motions: one shape per subject, resumed where it was killed.

Recordings of one subject lie in one folder, as AMASS's clips do. Each becomes SUBJECT/CLIP_poses.npz (see
`pmnet.fitting.files.write_amass`) with `fit_key`, a hash of all that the fit depends on: where the key of a
file is right, the fit is done.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, remove_partials, replacing
from pmnet.core.progress import say, track
from pmnet.core.spread import evenly
from pmnet.fitting.files import (
    FittedFile,
    check_labels,
    fit_seen,
    known_points,
    read_trajectories,
    upward,
    write_amass,
)
from pmnet.fitting.markers import Place
from pmnet.fitting.options import FitOptions
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.subject import SubjectFitter
from pmnet.formats.npz import npz_keys, read_npz
from pmnet.formats.trajectories import Trajectories

SHAPE_FRAMES: Final = 2000  # of all recordings of a subject, that stage I chooses from
ENDING: Final = "_poses.npz"
CODE: Final = ("fitting", "body", "formats")  # the folders of pmnet that a fit depends on


@dataclass(frozen=True)
class Recording:
    """A file of one subject; `name` is SUBJECT/CLIP."""

    file: Path
    name: str

    @property
    def subject(self) -> str:
        """Return the folder of the subject."""
        return self.name.rpartition("/")[0]

    @cached_property
    def content(self) -> str:
        """Return the hash of the file."""
        return hash_of(self.file)


def hash_of(file: Path) -> str:
    """Return the hash of a file; raises InputError where there is none."""
    refuse_special(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Knowledge:
    """What fits start from: body, pose prior, bodies that the start learns from, places of labels."""

    body: BodyModel
    prior: PosePrior
    people: BodyParams
    table: dict[str, Place]


@dataclass(frozen=True)
class FitSettings:
    """How recordings are read and fitted; `unit` overrules the files' ("": it does not)."""

    options: FitOptions
    unit: str
    up: str


def recordings_of(root: Path, files: Sequence[Path]) -> list[Recording]:
    """Return files below a folder as recordings; the folder of a file is its subject.

    Raises InputError where two files would have one name.
    """
    top = root.parent if root.is_file() else root
    found: dict[str, Path] = {}
    for file in sorted(files):
        inside = file.relative_to(top)
        subject = inside.parent.as_posix() if inside.parent != Path() else top.resolve().name
        name = f"{subject}/{inside.stem}"
        if name in found:
            raise InputError(
                f"{file} and {found[name].name} have one name; keep one, or rename the other"
            )
        found[name] = file
    return [Recording(file, name) for name, file in sorted(found.items())]


def fit_recordings(
    recordings: Sequence[Recording],
    out: Path,
    settings: FitSettings,
    learn: Callable[[], Knowledge],
    sources: Sequence[str],
) -> list[Path]:
    """Fit all recordings into a folder, and return the files; those that are done are left as they are.

    `learn` is called if anything is left to do; `sources` are hashes of what it learns from. Fits of
    recordings that are gone are deleted. Raises InputError naming the file that is wrong.
    """
    files = [out / f"{recording.name}{ENDING}" for recording in recordings]
    keys, known = _keys(recordings, settings, sources), None
    _delete_others(out, set(files))
    todo = [
        (recording, file, keys[recording.subject])
        for recording, file in zip(recordings, files, strict=True)
        if fit_key(file) != _own_key(keys[recording.subject], recording)
    ]
    if len(todo) < len(files):
        say(f"{len(files) - len(todo)} of {len(files)} recordings are fitted already")
    for subject, group in groupby(todo, key=lambda item: item[0].subject):
        known = known or learn()
        own = [recording for recording in recordings if recording.subject == subject]
        fitter = _Subject(own, settings, known)
        for recording, file, key in track(list(group), f"fitting {subject}"):
            write_amass(file, fitter.fit(recording), known.body, _own_key(key, recording))
    return files


def copy_fits(files: Sequence[Path], root: Path, out: Path) -> None:
    """Copy fits below `root` to the same places below `out`, whose other fits are deleted."""
    copies = [out / file.relative_to(root) for file in files]
    _delete_others(out, set(copies))
    for file, copy in zip(files, copies, strict=True):
        with replacing(copy) as partial:
            shutil.copyfile(file, partial)


def fit_key(file: Path) -> str:
    """Return the key that a fit was written with; empty where there is none, or it cannot be read."""
    try:
        key = read_npz(file, ("fit_key",)).get("fit_key")
    except InputError:
        return ""
    return "" if key is None else str(key)


def _own_key(key: str, recording: Recording) -> str:
    return hashlib.sha256(f"{key} {recording.name} {recording.content}".encode()).hexdigest()


def _keys(
    recordings: Sequence[Recording], settings: FitSettings, sources: Sequence[str]
) -> dict[str, str]:
    """Return the key of each subject: a change of one recording changes the shape, and so all fits."""
    common = json.dumps([asdict(settings), code_hash(), *sources], sort_keys=True)
    keys = {}
    for subject, group in groupby(recordings, key=lambda recording: recording.subject):
        texts = [common, *(f"{recording.name} {recording.content}" for recording in group)]
        keys[subject] = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return keys


@cache
def code_hash() -> str:
    """Return the hash of the code that a fit depends on."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for folder in CODE:
        for file in sorted([*(root / folder).glob("*.py"), *(root / folder).glob("*.yaml")]):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _delete_others(out: Path, files: set[Path]) -> None:
    """Delete fits that no recording has, and what a killed fit had half written; other files stay."""
    for file in out.rglob(f"*{ENDING}"):
        if file not in files and "fit_key" in npz_keys(file):
            file.unlink()
    for file in files:
        remove_partials(file)


class _Subject:
    """Fits the recordings of one subject, which share their shape."""

    def __init__(
        self, recordings: Sequence[Recording], settings: FitSettings, known: Knowledge
    ) -> None:
        self._read = {r.name: self._trajectories(r, settings) for r in recordings}
        where = recordings[0].file if len(recordings) == 1 else recordings[0].file.parent
        labels = dict.fromkeys(label for t in self._read.values() for label in t.labels)
        self._known = known_points(where, _plainly_once(list(labels)), known.body, known.table)
        self._seen = {name: self._known.seen(t) for name, t in self._read.items()}
        self._fitter = SubjectFitter(
            known.body,
            self._known.points,
            known.prior,
            known.people,
            settings.options,
            self._known.normals,
        )
        frames = torch.cat(list(self._seen.values()))
        frames = frames[evenly(len(frames), SHAPE_FRAMES)]
        try:
            self._shape, start = self._fitter.shape(frames, torch.ones_like(frames[..., 0]))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        self._up = upward(where, start.params, known.body, settings.up)

    def fit(self, recording: Recording) -> FittedFile:
        """Return the fit of one recording."""
        seen: Float[Tensor, "t m 3"] = self._seen[recording.name]
        fit = fit_seen(recording.file, self._fitter, seen, self._shape)
        trajectories = self._read[recording.name]
        return FittedFile(trajectories, self._known.labels, self._known.unknown, fit, self._up)

    @staticmethod
    def _trajectories(recording: Recording, settings: FitSettings) -> Trajectories:
        trajectories = read_trajectories(recording.file, settings.unit)
        check_labels(recording.file, trajectories.labels)
        return trajectories


def _plainly_once(labels: Sequence[str]) -> list[str]:
    """Return labels without those that name a point again, with another subject before it."""
    first: dict[str, str] = {}
    for label in labels:
        first.setdefault(label.rpartition(":")[2].strip().upper(), label)
    return list(first.values())
