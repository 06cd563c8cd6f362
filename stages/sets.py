"""sets: the lists of training and test sets."""

from typing import Annotated

from pmnet.core.stage import OutFile, Section, command
from pmnet.data.sets import write_sets
from pmnet.datasets import Dataset


def sets(
    train: OutFile, test: OutFile, datasets: Annotated[dict[str, Dataset], Section("datasets")]
) -> None:
    """Write the list of training sets and the list of test sets."""
    splits = {name: dataset.split for name, dataset in datasets.items()}
    write_sets(splits, {"train": train, "test": test})


if __name__ == "__main__":
    command(sets)
