"""Every command with hostile arguments and files: one line and an exit code, never a traceback."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from tiny_world import World, write_world

from pmnet import cli
from pmnet.core import checkpoints
from pmnet.core.stage import PARAMS

ROOT = Path(__file__).parents[1]
APP: Any = typer.main.get_command(cli.app)


def commands() -> dict[str, Any]:
    """Return all commands by their words, stages loaded."""
    found = {}
    for name, command in APP.commands.items():
        inner = getattr(command, "commands", None)
        for words, one in (
            {f"{name} {n}": c for n, c in inner.items()} if inner else {name: command}
        ).items():
            stage = getattr(one.callback, "stage", None)
            found[words] = cli._stage_command(stage) if stage else one
    return found


COMMANDS = commands()
FILES = [
    *(
        "missing.npz",
        "empty.npz",
        "empty.arrow",
        "empty.pt",
        "empty.parquet",
        "empty.json",
        "empty.pkl",
    ),
    *(
        "folder",
        "folder/inside.npz",
        "loop",
        "pipe.npz",
        "pipe.arrow",
        "pipe.json",
        "text.csv/below.npz",
    ),
    *(
        "text.csv",
        "noise.npz",
        "noise.arrow",
        "noise.pt",
        "noise.parquet",
        "noise.pkl",
        "list.json",
    ),
    *(
        "n" * 300 + ".npz",
        "name\udce9.npz",
        "two\nlines.npz",
        "a b;c'd.npz",
        "locked/x.npz",
        "good.npz",
    ),
]
VALUES = ["", "-1", "0", "nan", "1e400", "9" * 30, "[", "{a: &a [*a]}", "\x1b[31m", "$(touch x)"]
OPTIONS = ["-S", "--device", "--steps", "--k", "--seed", "--size-px", "--bins", "--jobs"]


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    return write_world(tmp_path_factory.mktemp("world"), body)


@pytest.fixture
def folder(tmp_path, monkeypatch, world) -> Path:
    """Return a folder of hostile files, which commands run in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / ".work")
    monkeypatch.delenv("PMNET_DEBUG", raising=False)
    shutil.copy(ROOT / PARAMS, tmp_path)
    noise = np.random.default_rng(0).bytes(5000)
    for kind in ("npz", "arrow", "pt", "parquet", "pkl"):
        Path(f"noise.{kind}").write_bytes(noise)
    for kind in ("npz", "arrow", "pt", "parquet", "pkl", "json"):
        Path(f"empty.{kind}").touch()
    for kind in ("npz", "arrow", "json"):
        os.mkfifo(f"pipe.{kind}")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("text.csv").write_text("image_name;center\nx;1\n")
    Path("list.json").write_text('{"samples": [1, {}], "images": ["pipe.arrow"]}')
    Path("two\nlines.npz").write_bytes(noise)
    Path("locked").mkdir(mode=0o000)
    shutil.copy(world.memory, "good.npz")
    return tmp_path


def run(words: list[str], monkeypatch, capsys) -> tuple[int, str]:
    """Run the command line as a user does; return the exit code and what it says."""
    monkeypatch.setattr(sys, "argv", ["pmnet", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.err or shown.out


def required(command: Any, value: str, out: str) -> list[str]:
    """Return words that give all that a command asks for."""
    words = []
    for parameter in command.params:
        if parameter.required:
            given = out if parameter.name in ("out", "all") else value
            is_option = parameter.param_type_name == "option"
            words += [parameter.opts[0], given] if is_option else [given]
    return words


def is_clean(code: int, said: str) -> bool:
    lines = said.strip().splitlines()
    return code in (0, 1, 2) and "Traceback" not in said and (code == 0 or bool(lines))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "repro"])  # takes no file
def test_hostile_files_are_one_line(folder, monkeypatch, capsys, name):
    for file in FILES:
        words = [*name.split(), *required(COMMANDS[name], file, "out/x.npz")]
        assert is_clean(*run(words, monkeypatch, capsys)), words


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if "--out" in str(required(COMMANDS[name], "", ""))]
)
def test_outputs_that_cannot_be_written_are_refused_before_the_work(
    folder, monkeypatch, capsys, name
):
    for out in ("folder", "loop/x.npz", "text.csv/x.npz", "n" * 300, "/proc/x.npz", "pipe.npz", ""):
        is_folder = name in ("train", "gallery", "predict")
        if (is_folder or name == "cluster-quality") and out in ("folder", "pipe.npz", ""):
            continue  # these write into it, or beside it
        code, said = run(
            [*name.split(), *required(COMMANDS[name], "good.npz", out)], monkeypatch, capsys
        )
        assert code in (1, 2) and "Traceback" not in said, (name, out, said)
        assert code == 2 or "cannot be written" in said or "expected a file" in said, (
            name,
            out,
            said,
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_values_are_one_line(folder, monkeypatch, capsys, name):
    own = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    for option in [option for option in OPTIONS if option in own]:
        for value in VALUES:
            given = f"{value}={value}" if option == "-S" else value
            words = [
                *name.split(),
                *required(COMMANDS[name], "missing.npz", "out/x.npz"),
                option,
                given,
            ]
            code, said = run(words, monkeypatch, capsys)
            assert is_clean(code, said) and code, words
