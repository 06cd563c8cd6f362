"""The command line: every stage is a command, and files say what they are."""

import importlib
import inspect
import os
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_benchmark import packed_benchmark
from import_closure import ROOT
from tiny_world import SIZE_PX, N, World, write_world
from typer.testing import CliRunner

import pmnet
from pmnet import cli
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.body.rotations import rot6d_to_rotmat
from pmnet.core.errors import InputError
from pmnet.core.stage import arguments
from pmnet.memory.prototypes import PrototypeMemory

STAGES = sorted({path.stem for path in (ROOT / "stages").glob("[a-z]*.py")})
PANELS = {
    "Use": ("info", "predict", "score", "repro", "experiments", "sweep", "export", "memory"),
    "Data": ("check", "fit", "template", "body"),
    "Reports": ("cluster-quality", "findings", "errors", "field", "page"),
    "Stages": [name.replace("_", "-") for name in STAGES if name not in ("body", "page", "fit")],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    return write_world(tmp_path_factory.mktemp("world"), body)


def run(*words: str | Path) -> str:
    """Run a command, let its errors through and return what it printed."""
    runner = CliRunner(env={"COLUMNS": "200"})
    result = runner.invoke(cli.app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def python(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


def test_help_lists_every_command_in_its_group():
    shown = run("--help")
    for title, *lines in (panel.splitlines() for panel in shown.split("╭─ ")[1:]):
        rows = [line.removeprefix("│ ") for line in lines if line.startswith("│ ")]
        listed = [row.split()[0] for row in rows if row[0] not in " -"]
        assert sorted(listed) == sorted(PANELS.get(title.split()[0], [])), title
    shown = run("body", "--help")
    assert " import " in shown
    assert " check " in shown


# `pmnet fit` takes recordings, not the name of an entry of params.yaml
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "fit"])
def test_the_options_of_a_stage_are_the_arguments_of_its_function(stage, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ("body", "check") if stage == "body" else (stage.replace("_", "-"),)
    shown = run(*words, "--help")
    function = getattr(importlib.import_module(f"stages.{stage}"), stage)
    for argument in arguments(function):
        if argument.section is None:
            names = [argument.name]
        else:
            names = [n for n, *_ in argument.options()] if is_dataclass(argument.kind) else []
        for name in names:
            positional = (stage, name) == ("page", "folder")
            assert ("[folder]" if positional else f"--{name.replace('_', '-')} ") in shown.lower()
    (summary, *_) = inspect.getdoc(function).splitlines()
    assert " ".join(summary.split()) in " ".join(shown.split())


def test_help_waits_for_no_library_of_the_stages():
    code = (
        "import sys; sys.argv = ['pmnet', '--help']; import pmnet.cli\n"
        "try: pmnet.cli.main()\nexcept SystemExit: pass\n"
        "slow = {'torch', 'numpy', 'pandas', 'scipy', 'pyarrow', 'dvc', 'ruamel.yaml'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_a_memory_and_a_body_are_described_without_torch(world):
    describe = "for file in sys.argv[1:]: print(*describe(Path(file)), sep='\\n')"
    code = (
        "import sys; from pathlib import Path; from pmnet.report.describe import describe\n"
        f"{describe}\n"
        "assert not {'torch', 'pandas'} & set(sys.modules)"
    )
    done = python("-c", code, str(world.memory), str(OPEN_BODY))
    assert done.returncode == 0, done.stderr
    assert "prototypes of" in done.stdout and "a body model in SMPL layout" in done.stdout


@pytest.mark.parametrize("module", ["pmnet", "pmnet.cli"])
def test_the_module_is_the_command(module):
    done = python("-m", module, "--version")
    assert (done.returncode, done.stdout) == (0, f"pmnet {pmnet.__version__}\n"), done.stderr
    assert python("-m", module, "no-such-command").returncode == 2


def test_a_shell_completes_commands_and_the_options_of_stages():
    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        code = "import sys; sys.argv = ['pmnet']; from pmnet.cli import main; main()"
        return python("-c", code, _PMNET_COMPLETE="complete_bash", **words).stdout.split()

    assert "--install-completion" in run("--help")
    assert completed("pmnet cl") == ["cluster-quality", "cluster"]
    assert "--limb-weight" in completed("pmnet cluster --li")


def test_a_body_is_imported(tmp_path):
    out = tmp_path / "smpl" / "body.npz"
    assert str(out) in run("body", "import", OPEN_BODY, "--out", out)
    assert BodyModel.load(out).sha256 == BodyModel.load(OPEN_BODY).sha256
    run("body", "import", OPEN_BODY, "--out", out, "--male", OPEN_BODY, "--female", OPEN_BODY)
    both = BodyModel.load(out)
    assert list(both.genders) == ["male", "female"] and not len(BodyModel.load(OPEN_BODY).genders)
    assert both.sha256 == BodyModel.load(OPEN_BODY).sha256  # that of the neutral one


def test_a_stage_runs_as_a_command(world, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "prototypes.png"
    words = ("--memory", world.memory, "--body", OPEN_BODY, "--out", out)
    run("prototypes", *words, "--bodies", "1", "--size-px", "32")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_memory_is_exported(world, tmp_path):
    out = tmp_path / "spin.npz"
    assert run("export", world.memory, "--out", out) == f"3 prototypes -> {out}\n"
    memory = PrototypeMemory.load(world.memory)
    with np.load(out) as exported:
        assert sorted(exported) == ["cam", "pose", "shape"]
        pose = torch.from_numpy(exported["pose"]).view(3, 24, 6)
        assert np.array_equal(exported["shape"], memory.prototypes.betas.numpy())
        assert exported["cam"].shape == (3, 3)
    torch.testing.assert_close(rot6d_to_rotmat(pose), memory.prototypes.rotmats)


def test_info_says_what_samples_are(world):
    shown = run("info", world.samples)
    assert shown.startswith(f"{world.samples}: {N} samples of tiny\n")
    assert f"with SMPL {N}, with 3D {N}" in shown
    assert "keypoints_3d (96)" in shown


def test_info_says_what_images_are(world):
    found = run("info", world.images)
    assert found.startswith(f"{world.images}: {N} images of {SIZE_PX} px, raw\n")
    assert found.endswith("stored with 1 times the box; 0 missing\n")


def test_info_says_what_a_memory_is(world):
    shown = run("info", world.memory)
    assert shown.startswith(f"{world.memory}: 3 prototypes of {N} samples\n")
    assert f"body {PrototypeMemory.load(world.memory).body[:12]}" in shown


def test_info_says_what_a_body_is():
    shown = run("info", OPEN_BODY)
    assert shown.startswith(f"{OPEN_BODY}: a body model in SMPL layout\n")
    assert "v_template (6890, 3)" in shown


def test_info_says_what_packed_errors_are(tmp_path):
    packed_benchmark(tmp_path, samples=20)
    shown = run("info", tmp_path / "errors_controls.parquet")
    assert "packed errors of 20 samples, 2 runs" in shown
    assert "single_ce: single, K = 1, seeds 0, 1; model, oracle" in shown


@pytest.mark.parametrize("name", ["none.npz", "text.txt", "wrong.arrow", "wrong.npz", "wrong.pt"])
def test_info_refuses_what_pmnet_did_not_write(tmp_path, name):
    file = tmp_path / name
    if not name.startswith("none"):
        file.write_text("no file of pmnet")
    result = CliRunner().invoke(cli.app, ["info", str(file)])
    assert isinstance(result.exception, InputError)
    assert str(file) in str(result.exception)


def test_an_error_is_one_line_and_exit_code_1(tmp_path):
    done = python("-m", "pmnet", "info", "none.npz", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: none.npz: no such file\n"
    assert done.stdout == ""
