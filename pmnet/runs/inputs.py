"""What the graph reads and no stage makes: files of the user, which DVC names without their setting."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.repo.index import Index

from pmnet.core.errors import InputError
from pmnet.core.stage import PARAMS
from pmnet.core.yaml_files import read_yaml


def refuse_missing_inputs(index: Index) -> None:
    """Raise InputError with every missing file that no stage writes, and the setting that names it."""
    written = [Path(out.fs_path) for stage in index.stages for out in stage.outs]
    read = {Path(dep.fs_path) for stage in index.stages for dep in stage.deps}
    missing = sorted(
        path
        for path in read
        if not os.path.lexists(path)
        and not any(path == out or path in out.parents or out in path.parents for out in written)
    )
    if missing:
        tree = read_yaml(PARAMS) if os.path.lexists(PARAMS) else {}
        settings = {text: key for key, text in _texts(tree)}
        here = Path.cwd()
        raise InputError("\n".join(_line(path, settings, here) for path in missing))


def _line(path: Path, settings: dict[str, str], here: Path) -> str:
    """Return what is missing, the setting that names it, and where to read what belongs there."""
    key = next((key for text, key in settings.items() if here / text == path), "")
    named = f"; {PARAMS} names it in {key}" if key else ""
    shown = path.relative_to(here) if here in path.parents else path
    return f"{shown}: no such file{named}; docs/data.md says what to put there"


def _texts(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in nested mappings and lists, with its key in dots."""
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _texts(value, f"{key}[{number}]")
