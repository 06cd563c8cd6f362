"""ingest: turn any source into one table of samples, without pixels."""

from pathlib import Path
from typing import Annotated

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS, OutFile, Section, command
from pmnet.datasets import Dataset, read


def ingest(
    name: str, body: Path, out: OutFile, dataset: Annotated[Dataset, Section("datasets.{name}")]
) -> None:
    """Read a data set with its adapter and write its samples."""
    where = f"{PARAMS}: datasets.{name}"
    samples = read(name, dataset, BodyModel.load(body), where)
    if dataset.split in ("validation", "test") and not samples.is_measurable():
        raise InputError(
            f"{where}: a {dataset.split} set needs SMPL parameters or 3D joints, but {dataset.source} has "
            "neither; set split: preview to see it, or give it fits (options.fits)"
        )
    samples.save(out)
    subjects = len(set(samples.subject) - {""})
    say(
        f"{name}: {len(samples)} samples"
        + f" of {subjects} subjects" * bool(subjects)
        + f" -> {out}"
    )
    for what, count in samples.about.counts.items():
        say(f"  {count} {what}")


if __name__ == "__main__":
    command(ingest)
