"""The command line: every stage is a command, and files say what they are."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from dvc.repo import Repo
from fake_benchmark import packed_benchmark
from import_closure import ROOT
from tiny_world import SIZE_PX, N, World, write_world
from typer.testing import CliRunner

from pmnet import cli, pool
from pmnet.body import OPEN_BODY, BodyModel
from pmnet.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    cli._add_stages()
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


def test_repro_runs_what_is_shared_then_each_run_then_the_rest(monkeypatch):
    calls = []
    listed = {"train": ["train@a", "train@b"], "images": ["images@x"]}
    monkeypatch.setattr(pool, "_stages", listed.__getitem__)
    monkeypatch.setattr(pool, "_run", lambda words: calls.append(list(words)))
    monkeypatch.setattr(pool, "_run_side_by_side", lambda *found: calls.append(found))
    pool.repro_parallel(2)
    assert calls[0] == ["repro", "images@x", "cluster@single"]
    assert calls[1][:2] == (["a", "b"], 2)
    assert calls[2] == ["repro"]
    calls.clear()
    pool.repro_parallel(1)
    assert calls == [["repro"]]


def fake_process(monkeypatch, codes: dict[str, int]) -> list[tuple[str, int | None]]:
    """Let runs end at once with these exit codes; return the list of what is started."""
    started = []

    class Process:
        def __init__(self, code: int) -> None:
            self.returncode = code

        def poll(self) -> int:
            return self.returncode

    def start(run: str, gpu: int | None) -> Process:
        started.append((run, gpu))
        return Process(codes.get(run, 0))

    monkeypatch.setattr(pool, "_start", start)
    monkeypatch.setattr(pool, "POLL_S", 0)
    return started


def test_runs_are_spread_over_gpus(monkeypatch):
    started = fake_process(monkeypatch, {})
    pool._run_side_by_side(["a", "b", "c", "d"], jobs=4, gpus=2)
    assert [run for run, _ in started] == ["a", "b", "c", "d"]
    assert sorted(gpu for _, gpu in started) == [0, 0, 1, 1]


def test_a_failed_run_is_named_and_the_others_are_done(monkeypatch, capsys):
    started = fake_process(monkeypatch, {"b": 1})
    pool._run_side_by_side(["a", "b", "c"], jobs=1, gpus=0)
    assert started == [("a", None), ("b", None), ("c", None)]
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "failed" in line] == [
        "b: failed, to be tried again, 1 to start"
    ]


def test_what_fails_again_ends_in_an_error(monkeypatch):
    fake_process(monkeypatch, {"b": 1})
    listed = {"train": ["train@a", "train@b"], "images": ["images@x"]}
    codes = iter([0, 1])
    monkeypatch.setattr(pool, "_stages", listed.__getitem__)
    monkeypatch.setattr(
        pool.subprocess, "run", lambda words: subprocess.CompletedProcess(words, next(codes))
    )
    with pytest.raises(InputError, match="dvc repro failed, see above"):
        pool.repro_parallel(2)


def test_the_memory_that_all_runs_read_is_not_made_twice():
    assert pool._arguments("single") == ["repro", "-s", "train@single", "evaluate@single"]
    assert pool._arguments("a") == ["repro", "-s", "cluster@a", "train@a", "evaluate@a"]


def test_the_runs_of_the_pool_are_those_of_the_graph(monkeypatch):
    monkeypatch.chdir(ROOT)
    with Repo(str(ROOT)) as repo:
        names = {stage.name for stage in repo.index.stages}
    listed = "\n".join(sorted(names))
    done = subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(pool.subprocess, "run", lambda *_, **__: done)
    assert set(pool._stages("train")) == {name for name in names if name.startswith("train@")}
    assert set(pool._stages("images")) == {name for name in names if name.startswith("images@")}
