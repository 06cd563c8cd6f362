"""DVC that reads the same text once: a graph of fifty stages is else parsed fifty times over.

Each command reads params.yaml per stage, each end of a stage reads and writes all of dvc.lock. What DVC
does stays the same: these functions depend on their text only.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.parsing import interpolate
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml

PARSE, UPDATE, DUMP = _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump


@cache
def _pickled(text: str, path: str) -> bytes:
    return pickle.dumps(PARSE(text, path))


def _parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
    if typ != "safe":
        return PARSE(text, path, typ)
    return pickle.loads(_pickled(text, str(path)))  # values that the caller may change


@contextmanager
def _modify_yaml(path: str, fs: Any = None, *, known: dict[str, Any] = {}) -> Iterator[Any]:  # noqa: B006
    """Let the caller change what a file holds; keep it for the next change of the same file."""
    file = Path(path)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    data = known.pop(text) if text in known else UPDATE(text, path) if text else {}
    yield data
    with file.open("w+", encoding="utf-8") as stream:
        DUMP(data, stream)
        stream.seek(0)
        known[stream.read()] = data


def install() -> None:
    """Let DVC read the same text once in this process."""
    _yaml.parse_yaml = strictyaml.parse_yaml = _parse_yaml
    dvcfile.modify_yaml = _modify_yaml
    interpolate.parse_expr = cache(interpolate.parse_expr)
