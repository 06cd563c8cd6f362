"""The adapters: `pmnet.datasets.NAME.read` turns the files that users have on disk into Samples.

The name of the module is the word `adapter` in params.yaml.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmnet.body import BodyModel
from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.data.names import check_key
from pmnet.data.samples import Samples
from pmnet.data.sets import Split


@dataclass(frozen=True)
class Dataset:
    """One entry of `datasets` in params.yaml; `options` are parsed into the adapter's `Options`."""

    adapter: str
    split: Split
    source: Path
    options: dict[str, Any]


def adapters() -> list[str]:
    """Return the names of all adapters."""
    return [m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"]


def read(name: str, entry: Dataset, body: BodyModel, where: str) -> Samples:
    """Return the samples of the data set `name`; `where` names its entry in errors.

    Raises InputError for a bad name, an unknown adapter, a bad option, or a file that the adapter refuses.
    """
    check_key(name, where)
    if entry.adapter not in adapters():
        raise InputError(
            f"{where}.adapter: {entry.adapter!r} is not one of {', '.join(adapters())}"
        )
    adapter = importlib.import_module(f"{__name__}.{entry.adapter}")
    options = params.parse(adapter.Options, entry.options, f"{where}.options")
    samples = adapter.read(name, entry.source, options, body)
    samples.check(str(entry.source))
    return samples
