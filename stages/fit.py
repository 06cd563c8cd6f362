"""fit: fit bodies to recordings of markers or joints, so that a data set can be read from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pmnet.body import BodyModel
from pmnet.core import params
from pmnet.core.checkpoints import FOLDER
from pmnet.core.device import Machine, device_of, set_threads
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS, OutFolder, Section, command
from pmnet.data.names import check_key
from pmnet.datasets._recordings.annot3 import Annot3Fit, fit_annot3
from pmnet.datasets._recordings.fits import RecordingFit, fit_below
from pmnet.fitting.recordings import copy_fits


@dataclass(frozen=True)
class Recordings:
    """One entry of `fits` in params.yaml; `adapter` says what is below `source`."""

    adapter: Literal["c3d", "trc", "joints", "mpi_inf_3dhp"]
    source: Path
    options: dict[str, Any]


def fit(
    name: str,
    body: Path,
    out: OutFolder,
    recordings: Annotated[Recordings, Section("fits.{name}")],
    machine: Machine,
) -> None:
    """Fit the recordings of a data set; a killed fit goes on where it was."""
    where = f"{PARAMS}: fits.{name}"
    check_key(name, where)
    set_threads(machine)
    model, device = BodyModel.load(body), device_of(machine)
    if recordings.adapter == "mpi_inf_3dhp":
        chosen = params.parse(Annot3Fit, recordings.options, f"{where}.options")
        files = [fit_annot3(recordings.source, chosen, model, out, f"{where}.options", device)]
    else:
        own = params.parse(RecordingFit, recordings.options, f"{where}.options")
        kept = FOLDER.parent / "fits" / name  # DVC empties `out` before it runs a stage
        kind, source = recordings.adapter, recordings.source
        files = fit_below(kind, source, own, model, kept, f"{where}.options", device)
        copy_fits(files, kept, out)
    say(f"{name}: {len(files)} files of motions -> {out}")


if __name__ == "__main__":
    command(fit)
