"""The command line: every stage is a command, and files say what they are."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fake_benchmark import packed_benchmark
from import_closure import ROOT
from tiny_world import SIZE_PX, N, World, write_world
from typer.testing import CliRunner

from pmnet import cli
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    names = (path.stem.replace("_", "-") for path in (ROOT / "stages").glob("*.py"))
    cli._add_stages([*names, "check"])
    return cli.app


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    return write_world(tmp_path_factory.mktemp("world"), body)


@pytest.fixture
def run(app):
    """Return a function that runs a command, lets errors through and returns what was printed."""
    runner = CliRunner(env={"COLUMNS": "200"})

    def run_command(*words: str | Path) -> str:
        result = runner.invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run_command


def test_help_lists_every_stage(run):
    shown = run("--help")
    stages = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    for name in (stages - {"body"}) | {"info", "repro", "export"}:
        assert f" {name.replace('_', '-')} " in shown
    assert " body " in shown
    shown = run("body", "--help")
    assert " import " in shown
    assert " check " in shown


def test_every_stage_has_help_that_says_what_it_does(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    for path in (ROOT / "stages").glob("*.py"):
        if path.stem not in ("__init__", "body"):
            assert "--out" in (shown := run(path.stem.replace("_", "-"), "--help")) or (
                path.stem == "sets" and "--train" in shown
            )


def test_a_body_is_imported(run, tmp_path):
    out = tmp_path / "smpl" / "body.npz"
    assert str(out) in run("body", "import", OPEN_BODY, "--out", out)
    assert BodyModel.load(out).sha256 == BodyModel.load(OPEN_BODY).sha256
    run("body", "import", OPEN_BODY, "--out", out, "--male", OPEN_BODY, "--female", OPEN_BODY)
    both = BodyModel.load(out)
    assert list(both.genders) == ["male", "female"] and not len(BodyModel.load(OPEN_BODY).genders)
    assert both.sha256 == BodyModel.load(OPEN_BODY).sha256  # that of the neutral one


def test_a_stage_runs_as_a_command(run, world, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "prototypes.png"
    words = ("--memory", world.memory, "--body", OPEN_BODY, "--out", out)
    run("prototypes", *words, "--bodies", "1", "--size-px", "32")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_memory_is_exported(run, world, tmp_path):
    out = tmp_path / "spin.npz"
    assert run("export", world.memory, "--out", out) == f"3 prototypes -> {out}\n"
    assert out.stat().st_size > 0


def test_info_says_what_samples_are(run, world):
    shown = run("info", world.samples)
    assert shown.startswith(f"{world.samples}: {N} samples of tiny\n")
    assert f"with SMPL {N}, with 3D {N}" in shown
    assert "keypoints_3d (96)" in shown


def test_info_says_what_images_are(run, world):
    found = run("info", world.images)
    assert found.startswith(f"{world.images}: {N} images of {SIZE_PX} px, raw\n")
    assert found.endswith("stored with 1 times the box; 0 missing\n")


def test_info_says_what_a_memory_is(run, world):
    shown = run("info", world.memory)
    assert shown.startswith(f"{world.memory}: 3 prototypes of {N} samples\n")
    assert f"body {PrototypeMemory.load(world.memory).body[:12]}" in shown


def test_info_says_what_a_body_is(run):
    shown = run("info", OPEN_BODY)
    assert shown.startswith(f"{OPEN_BODY}: a body model in SMPL layout\n")
    assert "v_template (6890, 3)" in shown


def test_info_says_what_packed_errors_are(run, tmp_path):
    packed_benchmark(tmp_path, samples=20)
    shown = run("info", tmp_path / "errors_controls.parquet")
    assert "packed errors of 20 samples, 2 runs" in shown
    assert "single_ce: single, K = 1, seeds 0, 1; model, oracle" in shown


@pytest.mark.parametrize("name", ["none.npz", "text.txt", "wrong.arrow", "wrong.npz", "wrong.pt"])
def test_info_refuses_what_pmnet_did_not_write(app, tmp_path, name):
    file = tmp_path / name
    if not name.startswith("none"):
        file.write_text("no file of pmnet")
    result = CliRunner().invoke(app, ["info", str(file)])
    assert isinstance(result.exception, InputError)
    assert str(file) in str(result.exception)


def test_an_error_is_one_line_and_exit_code_1(tmp_path):
    code = "from pmnet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", "none.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == "error: none.npz: no such file\n"
    assert done.stdout == ""
