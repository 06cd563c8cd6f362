"""The sections of params.yaml as frozen dataclasses, read strictly. No default lives in Python."""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pmnet.core.errors import InputError
from pmnet.core.ranges import is_inside, plain_type, range_of
from pmnet.core.yaml_files import read_yaml

MAX_INT: Final = 2**63 - 1


def read(file: Path, section: str) -> Any:
    """Return the plain value of a dotted `section` of a params file.

    Raises InputError where the file cannot be read or the section is missing.
    """
    values = read_yaml(file)
    for depth, key in enumerate(parts := section.split(".")):
        if not isinstance(values, Mapping) or key not in values:
            where = ".".join(parts[: depth + 1])
            known = ", ".join(map(str, values)) if isinstance(values, Mapping) else "none"
            raise InputError(f"{file}: {where} is missing; the keys there are: {known}")
        values = values[key]
    return values


def load(file: Path, section: str, kind: Any, overrides: Mapping[str, Any]) -> Any:
    """Return `section` of a params file as the dataclass `kind`, after dotted `overrides`.

    Raises InputError naming the file and the key for an unknown, missing or mistyped key, and for a value
    out of its range.
    """
    values = read(file, section)
    for dotted, value in overrides.items():
        *outer, last = dotted.split(".")
        target = values
        for key in outer:
            target = target.get(key) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping) or last not in target:
            raise InputError(f"{file}: {section}.{dotted} is not a parameter")
        target[last] = value  # type: ignore[index]
    return parse(kind, values, f"{file}: {section}")


def parse(kind: Any, value: Any, where: str, known_only: bool = True) -> Any:
    """Return `value` checked against the annotation `kind`; `where` names it in errors.

    Raises InputError for a value of another type or out of its range (`pmnet.core.ranges`), and for a
    missing key of a section; for an unknown key too. Where `known_only` is false, unknown keys are left
    out, and keys with a default may be missing.
    """
    own, markers = plain_type(kind)
    parsed = _typed(own, value, where, known_only)
    if parsed is not None and not is_inside(parsed, markers):
        raise InputError(f"{where}: expected {range_of(markers)}, got {value!r:.200}")
    return parsed


def _typed(kind: Any, value: Any, where: str, known_only: bool) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _section(kind, value, where, known_only)
    if kind is Any:
        return value
    if origin is Literal:
        if not any(value == known and type(value) is type(known) for known in arguments):
            listed = ", ".join(map(str, arguments))
            raise InputError(f"{where}: {value!r:.200} is not one of {listed}")
        return value
    if origin in (Union, UnionType):
        return None if value is None else parse(arguments[0], value, where, known_only)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            of = getattr(plain_type(arguments[0])[0], "__name__", "values")
            raise InputError(f"{where}: expected a list of {of}, got {value!r:.200}")
        return origin(
            parse(arguments[0], item, f"{where}[{i}]", known_only) for i, item in enumerate(value)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping, got {value!r:.200}")
        return {
            str(k): parse(arguments[1], v, f"{where}.{k}", known_only) for k, v in value.items()
        }
    return _plain(kind, value, where)


def _plain(kind: Any, value: Any, where: str) -> Any:
    """Return a number, a text, a flag or a path."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    too_large = is_number and isinstance(value, int) and abs(value) > MAX_INT
    if is_number and (too_large or not math.isfinite(value)):
        raise InputError(f"{where}: expected a finite number, got {value!r:.200}")
    if kind is float and is_number:
        return float(value)
    if kind in (str, Path) and isinstance(value, str):
        if not _is_line(value):
            raise InputError(f"{where}: expected a text of one line, got {value!r:.200}")
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: expected {kind.__name__}, got {value!r:.200}")
    return value


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _is_line(text: str) -> bool:
    """Return whether a text has no control characters and no halves of characters."""
    try:
        text.encode(
            "utf-8", "surrogateescape"
        )  # escaped are the bytes of file names that are no UTF-8
    except UnicodeEncodeError:
        return False
    return all(unicodedata.category(character) != "Cc" for character in text)


def _section(kind: Any, value: Any, where: str, known_only: bool) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a section, got {value!r:.200}")
    names = [field.name for field in fields(kind)]
    if not known_only:  # of a header
        names = [f.name for f in fields(kind) if f.name in value or not _has_default(f)]
    for key in value if known_only else ():
        if key not in names:
            raise InputError(f"{where}.{key}: unknown parameter; known are: {', '.join(names)}")
    for name in names:
        if name not in value:
            raise InputError(f"{where}.{name}: missing")
    hints = get_type_hints(kind, include_extras=True)
    return kind(
        **{name: parse(hints[name], value[name], f"{where}.{name}", known_only) for name in names}
    )
