"""sets: the lists of the data sets of each split."""

from pathlib import Path
from typing import Annotated, Literal

from pmnet.core.stage import OutFile, Section, command
from pmnet.data.sets import Split, write_sets
from pmnet.datasets import Dataset


def sets(
    train: OutFile,
    validation: OutFile,
    test: OutFile,
    datasets: Annotated[dict[str, Dataset], Section("datasets")],
    split: Annotated[Literal["validation", "test"], Section("evaluate.split")],
) -> None:
    """Write the lists of training, validation and test sets; `split` is the one that is evaluated."""
    splits = {name: dataset.split for name, dataset in datasets.items()}
    outs: dict[Split, Path] = {"train": train, "validation": validation, "test": test}
    write_sets(splits, outs, {"train": "training", split: "evaluate.split"})


if __name__ == "__main__":
    command(sets)
