"""YAML with a limit: a file of a few lines can stand for billions of values."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special

MAX_BYTES: Final = 300_000
MAX_VALUES: Final = 20_000  # after anchors and merge keys are written out


def read_yaml(file: Path) -> Any:
    """Return the value of a file of YAML 1.2.

    Raises InputError where the file is missing, not a file, not YAML, or too large (see `parse_yaml`).
    """
    refuse_special(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(
                f"{file}: larger than {MAX_BYTES:,} bytes; split it, or check the path"
            )
        return deepcopy(_parsed(content.decode("utf-8-sig"), str(file)))
    except FileNotFoundError:
        raise InputError(
            f"{file}: not found; run the command where your params.yaml is (the project's root)"
        ) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not valid YAML: {error}") from None


@lru_cache(maxsize=4)  # a stage reads several sections of one file
def _parsed(text: str, where: str) -> Any:
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a text of YAML; no object is made and no code is run.

    Raises InputError, which begins with `where`, where it is not YAML, holds itself, or stands for more
    than MAX_VALUES values.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is None:
            return None
        if _count(node, {}) > MAX_VALUES:
            raise InputError(
                f"{where}: its anchors stand for more than {MAX_VALUES:,} values; use fewer of them"
            )
        return yaml.constructor.construct_document(node)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where}: not valid YAML: nested too deeply") from None
    except Exception as error:  # ruamel raises ValueError, KeyError and more beside its own errors
        raise InputError(f"{where}: not valid YAML: {error}") from None


def _count(node: Node, known: dict[int, int | None]) -> int:
    """Return the number of values below a node, those of an anchor once per use."""
    if id(node) not in known:
        known[id(node)] = None  # until it is counted: a value that holds itself meets this
        below: list[Node] = []
        if isinstance(node, MappingNode):
            below = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            below = list(node.value)
        known[id(node)] = 1 + sum(_count(part, known) for part in below)
    count = known[id(node)]
    if count is None:
        raise ValueError(f"a value holds itself ({node.start_mark})")
    return count
