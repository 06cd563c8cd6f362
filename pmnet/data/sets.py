"""Which data sets are of which split: for each split, one list of files that all later stages read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, replacing
from pmnet.core.ranges import Distinct
from pmnet.data.names import check_key

# `validation` chooses settings; `preview` is ingested and drawn, otherwise unused
Split = Literal["train", "validation", "test", "preview"]
Files = Annotated[list[Path], MinLen(1), Distinct()]


def write_sets(
    splits: Mapping[str, Split], outs: Mapping[Split, Path], needed: Mapping[Split, str]
) -> None:
    """Write one list of files per split of `outs`: the samples and the images of its data sets.

    `splits` maps each data set to its split; `needed` maps each split that must have a data set to who
    needs it. Raises InputError where it has none, or where a name cannot be
    part of a path; nothing is written then.
    """
    for name in splits:
        check_key(name, "datasets")
    names = {split: [name for name, own in splits.items() if own == split] for split in outs}
    for split, who in needed.items():
        if not names[split]:
            raise InputError(f"datasets: none has split {split!r}, which {who} needs; add one")
    for split, out in outs.items():
        files = {
            kind: [f"data/{kind}/{split}/{name}.arrow" for name in names[split]]
            for kind in ("samples", "images")
        }
        with replacing(out) as partial:
            partial.write_text(json.dumps(files, indent=2) + "\n")


def samples_of(sets: Path) -> list[Path]:
    """Return the files of samples in a list of data sets."""
    return _files(sets, "samples")


def images_of(sets: Path) -> list[Path]:
    """Return the files of images in a list of data sets."""
    return _files(sets, "images")


def pairs_of(sets: Path) -> list[tuple[Path, Path]]:
    """Return the files of samples in a list of data sets, each with its file of images."""
    samples, images = samples_of(sets), images_of(sets)
    if len(samples) != len(images):
        raise InputError(f"{sets}: {len(samples)} files of samples, {len(images)} of images")
    return list(zip(samples, images, strict=True))


def _files(sets: Path, kind: str) -> list[Path]:
    refuse_special(sets)
    try:
        content = json.loads(sets.read_bytes())
        files: list[Path] = params.parse(Files, content[kind], kind)
        return files
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{sets}: not a list of data sets ({error}); run the sets stage") from None
