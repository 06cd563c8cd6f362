"""A stage function as a command: options, sections of params.yaml, overrides, errors."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from pmnet.core.errors import InputError
from pmnet.core.stage import Section, arguments, command

PARAMS = """\
colour: {hue: red, depth: 3, gain: 0.5, inner: {a: 1}, sizes: [1, 2]}
other: {speed: 7}
shapes:
  round: {hue: blue, depth: 9, gain: 1.0, inner: {a: 4}, sizes: [5]}
"""


@dataclass(frozen=True)
class Inner:
    a: int


@dataclass(frozen=True)
class Colour:
    hue: Literal["red", "blue"]
    depth: int
    gain: float
    inner: Inner
    sizes: list[int]


@dataclass(frozen=True)
class Other:
    speed: int


got: list[Any] = []


def toy(out: Path, colour: Colour, mode: Literal["slow", "fast"] = "slow") -> None:
    """Do what a toy does."""
    got.append((out, colour, mode))


def named(name: str, colour: Annotated[Colour, Section("shapes.{name}")]) -> None:
    """Read a section by name."""
    got.append((name, colour))


def both(
    colour: Colour, other: Other, sizes: Annotated[list[int], Section("colour.sizes")]
) -> None:
    """Read three sections."""
    got.append((colour, other, sizes))


def failing(out: Path) -> None:
    """Fail as a user's file makes a stage fail."""
    raise InputError(f"{out}: no good")


def bug(out: Path) -> None:
    """Fail as a bug does."""
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PMNET_DEBUG", raising=False)
    got.clear()
    return tmp_path


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs a stage function with arguments and returns its exit code."""

    def run_command(function, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["toy", *words])
        with pytest.raises(SystemExit) as left:
            command(function)
        return left.value.code

    return run_command


DEFAULT = Colour("red", 3, 0.5, Inner(1), [1, 2])


def test_a_section_comes_from_params_yaml(run):
    assert run(toy, "--out", "a/b") == 0
    assert got == [(Path("a/b"), DEFAULT, "slow")]


def test_plain_fields_are_options(run):
    words = ("--hue", "blue", "--depth", "0", "--gain", "2", "--mode", "fast")
    assert run(toy, "--out", "a", *words) == 0
    assert got == [(Path("a"), Colour("blue", 0, 2.0, Inner(1), [1, 2]), "fast")]


def test_any_field_can_be_set(run):
    words = ("--set", "inner.a=5", "-S", "sizes=[7, 8]", "--set", "gain=1e-3")
    assert run(toy, "--out", "a", *words) == 0
    assert got[0][1] == Colour("red", 3, 1e-3, Inner(5), [7, 8])


def test_an_override_stays_in_its_run(run, folder):
    run(toy, "--out", "a", "--depth", "8")
    run(toy, "--out", "a")
    assert [found[1].depth for found in got] == [8, 3]
    assert (folder / "params.yaml").read_text() == PARAMS


def test_a_section_may_be_named_by_another_argument(run):
    assert run(named, "--name", "round", "--depth", "2") == 0
    assert got == [("round", Colour("blue", 2, 1.0, Inner(4), [5]))]


def test_several_sections_are_read(run):
    assert run(both, "--speed", "1", "--depth", "2") == 0
    assert got == [(Colour("red", 2, 0.5, Inner(1), [1, 2]), Other(1), [1, 2])]


def test_set_reaches_the_section_that_has_the_field(run):
    assert run(both, "--set", "inner.a=5", "--set", "speed=2") == 0
    assert got == [(Colour("red", 3, 0.5, Inner(5), [1, 2]), Other(2), [1, 2])]


def test_help_shows_options_and_their_defaults(run, capsys):
    assert run(toy, "--help") == 0
    shown = capsys.readouterr().out
    assert "Do what a toy does." in shown
    for option in ("--out", "--hue", "--depth", "--gain", "--mode", "--set"):
        assert option in shown
    for hidden in ("--inner", "--sizes", "--colour"):
        assert hidden not in shown
    assert "0.5" in shown  # the value of params.yaml
    assert "slow" in shown


def test_help_works_without_params_yaml(run, folder, capsys):
    (folder / "params.yaml").unlink()
    assert run(toy, "--help") == 0
    assert "colour.depth of params.yaml" in capsys.readouterr().out


def the_error(capsys) -> str:
    """Return the one line that an error is."""
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err + captured.out
    return captured.err


def test_an_input_error_is_one_line(run, capsys):
    assert run(failing, "--out", "a.npz") == 1
    assert the_error(capsys) == "error: a.npz: no good\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--set", "wrong=1"), "--set wrong: params.yaml has no such field in colour"),
        (("--set", "inner.wrong=1"), "colour.inner.wrong is not a parameter"),
        (("--set", "depth"), "expected KEY=VALUE"),
        (("--set", "depth=deep"), "colour.depth: expected int, got 'deep'"),
        (("--set", "sizes=5"), "colour.sizes: expected a list"),
    ],
)
def test_a_wrong_override_is_one_line(run, capsys, words, named):
    assert run(toy, "--out", "a", *words) == 1
    assert named in the_error(capsys)
    assert got == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("depth: 3", "depht: 3", "params.yaml: colour.depht: unknown parameter; known are: hue"),
        (", gain: 0.5", "", "params.yaml: colour.gain: missing"),
        ("hue: red", "hue: green", "params.yaml: colour.hue: 'green' is not one of red, blue"),
        ("colour:", "color:", "params.yaml: colour is missing; the keys there are: color"),
        ("colour: {", "colour: {{", "params.yaml: not valid YAML"),
    ],
)
def test_a_wrong_params_file_is_named(run, folder, capsys, old, new, named):
    (folder / "params.yaml").write_text(PARAMS.replace(old, new, 1))
    assert run(toy, "--out", "a") == 1
    assert named in capsys.readouterr().err
    assert got == []


def test_no_params_file_is_named(run, folder, capsys):
    (folder / "params.yaml").unlink()
    assert run(toy, "--out", "a") == 1
    assert "params.yaml: not found" in the_error(capsys)


def test_an_unknown_name_of_a_section_lists_the_known(run, capsys):
    assert run(named, "--name", "square") == 1
    assert "shapes.square is missing; the keys there are: round" in the_error(capsys)


@pytest.mark.parametrize(
    "words", [(), ("--out", "a", "--wrong", "1"), ("--out", "a", "--depth", "x")]
)
def test_a_wrong_command_line_leaves_with_2(run, words):
    assert run(toy, *words) == 2
    assert got == []


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["toy", "--out", "a"])
    with pytest.raises(ZeroDivisionError):
        command(bug)


def test_debugging_shows_where_an_input_error_came_from(monkeypatch):
    monkeypatch.setenv("PMNET_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["toy", "--out", "a"])
    with pytest.raises(InputError):
        command(failing)


def test_arguments_name_their_sections():
    sections = {argument.name: argument.section for argument in arguments(named)}
    assert sections == {"name": None, "colour": "shapes.{name}"}
    assert [argument.section for argument in arguments(both)] == ["colour", "other", "colour.sizes"]


def test_a_script_says_its_error_in_one_line(folder):
    words = ("figure", "--name", "distance", "--data", "none.csv", "--out", "a.png")
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: figures is missing")
    assert done.stderr.count("\n") == 1
    assert not (folder / "a.png").exists()


SCRIPT = """
import atexit
from pathlib import Path
from pmnet.core.stage import command

def stage(out: Path) -> None:
    atexit.register(lambda: print("at the end", end=""))
    print(out, end=" ")
    raise SystemExit(%s)

command(stage)
"""


@pytest.mark.parametrize(("leaves", "code"), [("None", 0), ("7", 7), ("'a sentence'", 1)])
def test_a_process_that_ends_at_once_has_written_all(tmp_path, leaves, code):
    (script := tmp_path / "script.py").write_text(SCRIPT % leaves)
    command = [sys.executable, str(script), "--out", "here"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout) == (code, "here at the end"), done.stderr
    assert ("a sentence" in done.stderr) == (code == 1)
