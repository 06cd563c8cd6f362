"""A stage function as a command: its paths are options, its params sections come from params.yaml.

A parameter annotated with a dataclass is the section of params.yaml that has its name (or the one that
`Section` names); every plain field of it is an option too, so that a single run may differ. DVC, `python
-m stages.NAME` and `pmnet NAME` run the same command.
"""

import atexit
import gc
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import typer

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_unwritable
from pmnet.core.ranges import plain_type, range_of
from pmnet.core.yaml_files import parse_yaml

PARAMS = Path("params.yaml")
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # what torch says
FIRST_SPEAKS_S = 3.0  # torchrun ends all processes once one has failed: let the first say why


@dataclass(frozen=True)
class Section:
    """The section of params.yaml that an argument is read from; {name} stands for another argument."""

    name: str


@dataclass(frozen=True)
class Output:
    """Marks a path that a stage writes, a file or a folder: it must be writable before the work begins."""

    folder: bool = False


OutFile = Annotated[Path, Output()]
OutFolder = Annotated[Path, Output(folder=True)]


@dataclass(frozen=True)
class _Argument:
    """One argument of a stage: a plain option, or a section of params.yaml.

    `kind` has no markers (`pmnet.core.ranges`); `checked` has them.
    """

    name: str
    kind: Any
    section: str | None
    checked: Any

    @property
    def output(self) -> Output | None:
        """Return how the stage writes to it, if it does."""
        return next((m for m in plain_type(self.checked)[1] if isinstance(m, Output)), None)

    def has(self, key: str) -> bool:
        """Return whether a dotted key starts with a field of this section."""
        return is_dataclass(self.kind) and key.split(".")[0] in {f.name for f in fields(self.kind)}

    def chosen(self, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the fields that were given as options."""
        if is_dataclass(self.kind):
            yield from ((k, given[k]) for k, *_ in self.options() if given.get(k) is not None)

    def options(self) -> Iterator[tuple[str, Any, str]]:
        """Yield the name, the type and the range of the plain fields of a section."""
        hints = get_type_hints(self.kind, include_extras=True)
        for field in fields(self.kind):
            kind, markers = plain_type(hints[field.name])
            if kind in (int, float, str, bool, Path) or get_origin(kind) is Literal:
                yield field.name, kind, range_of(markers)


def arguments(function: Callable[..., None]) -> list[_Argument]:
    """Return the arguments of a stage function."""
    stage_arguments = []
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name == "return":
            continue
        kind, markers = plain_type(hint)
        named = [marker.name for marker in markers if isinstance(marker, Section)]
        section = named[0] if named else name if is_dataclass(kind) else None
        stage_arguments.append(_Argument(name, kind, section, hint))
    return stage_arguments


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function that typer can turn into a command (see the module's docstring)."""
    stage_arguments = arguments(function)

    def run(**given: Any) -> None:
        overrides = dict(_override(text) for text in given.pop("set_") or [])
        values = {
            a.name: params.parse(a.checked, given[a.name], _flag(a.name))
            for a in stage_arguments
            if a.section is None
        }
        _refuse_unknown(overrides, stage_arguments, values)
        for argument in stage_arguments:
            if (output := argument.output) is not None:
                refuse_unwritable(values[argument.name], output.folder)
        for argument in (a for a in stage_arguments if a.section is not None):
            chosen = dict(argument.chosen(given))
            chosen |= {k: v for k, v in overrides.items() if argument.has(k)}
            section = str(argument.section).format(**values)
            values[argument.name] = params.load(PARAMS, section, argument.checked, chosen)
        function(**values)

    parameters = []
    for argument in stage_arguments:
        if argument.section is None:
            default = inspect.signature(function).parameters[argument.name].default
            own_range = range_of(plain_type(argument.checked)[1])
            parameters.append(_option(argument.name, argument.kind, default, None, own_range))
            continue
        if not is_dataclass(argument.kind):
            continue
        shown = _shown_defaults(str(argument.section))
        for name, kind, own_range in argument.options():
            default = str(shown.get(name, f"{argument.section}.{name} of params.yaml"))
            parameters.append(_option(name, kind | None, None, default, own_range))
    text = "Set any field of the params section: FIELD.KEY=VALUE (YAML)."
    parameters.append(
        inspect.Parameter(
            "set_",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, typer.Option("--set", "-S", help=text)],
        )
    )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    return run


def command(function: Callable[..., None]) -> None:
    """Run a stage function with the options of this process; end the process that is only for the stage."""
    own_process = function.__module__ == "__main__"
    if own_process:
        gc.enable()  # `stages/__main__.py` imports without it
        gc.freeze()
    app = typer.Typer(add_completion=False)
    app.command()(as_command(function))
    try:
        with user_errors():
            app()
    except SystemExit as end:
        if own_process:
            _leave(end.code)
        raise
    finally:
        if own_process:
            gc.unfreeze()  # else libraries say at the end that they were not taken apart


def _leave(code: object) -> None:
    """End the process now: to take libraries such as torch apart takes a quarter as long as to import them.

    Return where a thread still works, or where what was printed cannot be written.
    """
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    if len(others) > 1 or not isinstance(code, int | None):
        return
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code or 0)


class user_errors:
    """Print an error that the user or the machine has caused as one line, and leave with exit code 1."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Turn the user's errors into a message."""
        message = message_of(error)
        if message and not os.environ.get("PMNET_DEBUG"):
            if os.environ.get("RANK", "0") != "0":
                time.sleep(FIRST_SPEAKS_S)
            print(f"error: {message}", file=sys.stderr)
            raise SystemExit(1) from None


def message_of(error: BaseException | None) -> str:
    """Return what the user reads of an error; nothing where the program itself is at fault."""
    match error:
        case InputError():
            return str(error)
        case MemoryError():
            return f"not enough memory ({error or 'an allocation failed'}); use a larger machine"
        case RuntimeError() if any(words in str(error) for words in OUT_OF_MEMORY):
            return f"not enough memory ({str(error).splitlines()[0]:.200}); use a larger machine"
        case OSError() if error.strerror:
            place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            return f"{place}{error.strerror}; check the path and the disk"
        case _:
            return ""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(
    name: str, kind: Any, default: Any, shown: str | None, own_range: str
) -> inspect.Parameter:
    option = typer.Option(
        _flag(name), show_default=shown if shown is not None else True, help=own_range or None
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )


def _shown_defaults(section: str) -> Mapping[str, Any]:
    """Return the values of a section, read once; none where they cannot be read."""
    try:
        values = params.read(PARAMS, section)
    except InputError:
        return {}
    return values if isinstance(values, Mapping) else {}


def _refuse_unknown(
    overrides: dict[str, Any], stage_arguments: list[_Argument], values: dict[str, Any]
) -> None:
    for key in overrides:
        if not any(argument.has(key) for argument in stage_arguments):
            named = (str(a.section).format(**values) for a in stage_arguments if a.section)
            sections = ", ".join(named)
            raise InputError(
                f"--set {key}: {PARAMS} has no such field in {sections or 'this stage'}"
            )


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: expected KEY=VALUE")
    return key, parse_yaml(value, f"--set {key}")
