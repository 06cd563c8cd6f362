"""The rule for the names of data sets, runs and experiments: they become parts of commands and paths."""

import re
from typing import Final

from pmnet.core.errors import InputError

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
LONGEST: Final = 200  # a file of this name has an ending too


def check_name(name: str, where: str) -> str:
    """Return the name of a run or an experiment; raises InputError at `where` for a name that is not safe."""
    return _checked(name, where, ". _ + -")


def check_key(name: str, where: str) -> str:
    """Return the name of a data set: the same without dots, which part the keys of params.yaml."""
    return _checked(name, where, "_ + -")


def _checked(name: str, where: str, marks: str) -> str:
    if not NAME.fullmatch(name) or len(name) > LONGEST or ("." in name and "." not in marks):
        raise InputError(
            f"{where}: {name!r} cannot be a name; expected letters (a to z), digits and {marks} only, at "
            f"most {LONGEST}, the first a letter, digit or _, because it becomes part of commands and files; "
            "rename it"
        )
    return name
