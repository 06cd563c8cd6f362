"""The sections of params.yaml as frozen dataclasses, read strictly. No default lives in Python."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pmnet.core.errors import InputError


def read(file: Path, section: str) -> Any:
    """Return the plain value of a dotted `section` of a params file.

    Raises InputError where the file cannot be read or the section is missing.
    """
    try:
        values = YAML(typ="safe", pure=True).load(file.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{file}: not found; run the command where your params.yaml is (the project's root)"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid YAML: {error}") from None
    for depth, key in enumerate(parts := section.split(".")):
        if not isinstance(values, Mapping) or key not in values:
            where = ".".join(parts[: depth + 1])
            known = ", ".join(map(str, values)) if isinstance(values, Mapping) else "none"
            raise InputError(f"{file}: {where} is missing; the keys there are: {known}")
        values = values[key]
    return values


def yaml_value(text: str) -> Any:
    """Return the value of a piece of YAML, as in `-S key=value`."""
    return YAML(typ="safe", pure=True).load(text)


def load(file: Path, section: str, kind: Any, overrides: Mapping[str, Any]) -> Any:
    """Return `section` of a params file as the dataclass `kind`, after dotted `overrides`.

    Raises InputError naming the file and the key for an unknown, missing or mistyped key.
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


def parse(kind: Any, value: Any, where: str) -> Any:
    """Return `value` checked against the annotation `kind`; `where` names it in errors."""
    if is_dataclass(kind):
        return _parse_section(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where}: {value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, UnionType):
        return None if value is None else parse(arguments[0], value, where)
    if origin is list:
        if not isinstance(value, list) or not value:
            kind_of = getattr(arguments[0], "__name__", "values")
            raise InputError(f"{where}: expected a list of {kind_of}, got {value!r}")
        return [parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping, got {value!r}")
        return {str(k): parse(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def _parse_section(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a section, got {value!r}")
    names = [field.name for field in fields(kind)]
    for key in value:
        if key not in names:
            raise InputError(f"{where}.{key}: unknown parameter; known are: {', '.join(names)}")
    for name in names:
        if name not in value:
            raise InputError(f"{where}.{name}: missing")
    hints = get_type_hints(kind)
    return kind(**{name: parse(hints[name], value[name], f"{where}.{name}") for name in names})
