"""What the adapters of recordings share: they fit what is new, and go on as the adapter `amass`."""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pmnet.body import BodyModel
from pmnet.body.camera import View
from pmnet.core.checkpoints import FOLDER
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import amass
from pmnet.datasets._recordings.fits import RecordingFit, find_recordings, fit_below
from pmnet.datasets._shared.discovery import Found

FITS = FOLDER.parent / "fits"


@dataclass(frozen=True)
class RecordingOptions(amass.Options, RecordingFit):
    """How recordings are fitted, and which frames are taken and how they are seen (see `amass`)."""


def read_recordings(
    adapter: str, name: str, source: Path, options: RecordingOptions, body: BodyModel
) -> Samples:
    """Return the samples of all recordings below `source`.

    The fits are kept in .work, so that another camera or a killed run fits nothing again. Raises InputError
    naming the file or the option that is wrong.
    """
    kept = (
        FITS
        / hashlib.sha256(f"{adapter} {source.resolve()} {body.sha256}".encode()).hexdigest()[:20]
    )
    fit_below(adapter, source, options, body, kept, "options")
    try:
        return amass.read(name, kept, options, body)
    except InputError as error:  # users know their recordings, not where fits are kept
        raise InputError(str(error).replace(str(kept), str(source))) from None


def found_recordings(adapter: str, root: Path) -> list[Found]:
    """Return one data set of all recordings of one kind below `root`."""
    files = find_recordings(adapter, root, broken=False)
    if not files:
        return []
    options = RecordingOptions(
        fit={},
        markers=None,
        poses=None,
        unit="",
        up="auto",
        subjects=None,
        framerate_hz=10.0,
        min_change_deg=0.0,
        max_samples=0,
        mirrored=True,
        views=1,
        betas="file",
        betas_spread=0.0,
        view=View(45.0, 0.5, 10.0, 4.0, margin=0.85, margin_spread=0.05, shift=0.05),
        seed=11,
    )
    source = files[0] if len(files) == 1 else Path(os.path.commonpath([f.parent for f in files]))
    layout = f"{len(files)} recording{'s' * (len(files) > 1)} of markers or joints"
    return [Found(adapter, layout, source, "train", asdict(options))]
