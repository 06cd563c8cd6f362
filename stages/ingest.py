"""ingest: any source becomes one table of samples. No pixels."""

from pathlib import Path
from typing import Annotated

from pmnet.body import BodyModel
from pmnet.datasets import Dataset, read
from pmnet.progress import say
from pmnet.stage import PARAMS, Section, command


def ingest(
    name: str, body: Path, out: Path, dataset: Annotated[Dataset, Section("datasets.{name}")]
) -> None:
    """Read a data set with its adapter and write its samples."""
    where = f"{PARAMS}: datasets.{name}"
    samples = read(name, dataset, BodyModel.load(body), where)
    samples.save(out)
    say(f"{name}: {len(samples)} samples of {len(set(samples.subject))} subjects -> {out}")


if __name__ == "__main__":
    command(ingest)
