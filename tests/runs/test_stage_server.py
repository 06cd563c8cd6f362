"""The server of stages: its processes are like those of `python -m`, and nothing depends on its life."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pmnet.runs.stage_server import VARIABLE, stage_server

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")
STAGE = """
import json, os, sys, time
text = sys.stdin.read()
print(json.dumps({
    "options": sys.argv[1:], "folder": os.getcwd(), "word": os.environ["WORD"], "read": text,
    "path": sys.path[:2], "parent": os.getppid(), "preloaded": "colorsys" in sys.modules,
}))
print("to standard error", file=sys.stderr)
sys.exit(int(os.environ.get("CODE", 0)))
"""
SLEEPER = """
import os, sys, time
from pathlib import Path
Path("process").write_text(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """Return a folder with two stages of its own."""
    (folder := tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/__main__.py", folder)
    for name, text in {"__init__": "", "asked": STAGE, "sleeper": SLEEPER}.items():
        (folder / f"{name}.py").write_text(text)
    return tmp_path


def start(project: Path, stage: str, *options: str, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(project / "stages"), stage, *options],
        cwd=project,
        env={**os.environ, "WORD": "w\udce4", **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project: Path, *options: str, **env: str) -> tuple[int | None, dict[str, object], str]:
    process = start(project, "asked", *options, **env)
    out, err = process.communicate("a line")
    return process.returncode, json.loads(out), err


def sleeping(project: Path) -> int:
    """Return the process of a stage that sleeps, once it does."""
    file = project / "process"
    for _ in range(500):
        if file.exists() and file.read_text():
            return int(file.read_text())
        time.sleep(0.02)
    raise AssertionError("the stage has not begun")


def lives(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it may end before or after the file is opened
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def ends(process: int) -> bool:
    for _ in range(500):
        if not lives(process):
            return True
        time.sleep(0.02)
    return False


def test_a_stage_of_the_server_is_as_one_of_its_own(project):
    (code, alone, err) = run(project, "--a", "b c", CODE="3")
    with stage_server(["colorsys"]):
        assert run(project, "--a", "b c", CODE="3")[0] == code == 3
        served = run(project, "--a", "b c", CODE="0")
    assert served[0] == 0 and served[2] == err == "to standard error\n"
    assert served[1].pop("parent") != alone.pop("parent") == os.getpid()
    assert served[1].pop("preloaded") and not alone.pop("preloaded")
    assert served[1] == alone
    assert alone["options"] == ["--a", "b c"] and alone["read"] == "a line"
    assert alone["path"] == [str(project), str(project)] and alone["word"] == "w\udce4"


def test_a_stage_runs_the_code_that_lies_there_when_it_starts(project):
    with stage_server(["colorsys"]):
        run(project)
        (project / "stages/asked.py").write_text("print('{}')")
        assert run(project)[1] == {}


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_the_process_that_asked_for_it(project, ended):
    with stage_server(["colorsys"]):
        asker = start(project, "sleeper")
        process = sleeping(project)
        asker.send_signal(ended)
        assert asker.wait() == -ended and ends(process)


def test_a_stage_that_is_killed_has_failed(project):
    with stage_server(["colorsys"]):
        asker = start(project, "sleeper")
        os.kill(sleeping(project), signal.SIGKILL)
        assert asker.wait() == -signal.SIGKILL
        assert run(project)[0] == 0  # the server goes on


@pytest.mark.parametrize("words", [b'{"python": ', b"[]\n", b'{"python": "%s", "odd": 1}\n'])
def test_a_broken_request_is_forgotten(project, words):
    """The streams that came with it are closed, and the server goes on."""
    with stage_server(["colorsys"]):
        reading, writing = os.pipe()
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(os.environ[VARIABLE])
            text = words.replace(b"%s", sys.executable.encode())
            socket.send_fds(asker, [text], [writing] * 3)
            os.close(writing)
            asker.shutdown(socket.SHUT_WR)
            assert os.read(reading, 1) == b""  # nobody can write into it
        os.close(reading)
        assert run(project)[1]["parent"] != os.getpid()


def test_an_unknown_stage_is_one_line(project):
    process = start(project, "nope")
    assert process.communicate()[1] == "error: no stage 'nope'; `pmnet --help` lists the stages\n"
    assert process.returncode == 1


def test_stages_run_without_the_server_where_it_has_ended(project, monkeypatch, capfd):
    with stage_server(["no_such_library"]):
        assert run(project)[1]["parent"] == os.getpid()
    assert "no_such_library" in capfd.readouterr().err
    monkeypatch.setenv(VARIABLE, str(project / "nowhere"))
    assert run(project)[1]["parent"] == os.getpid()


def test_a_launcher_needs_no_server(project):
    shutil.copy(project / "stages/asked.py", project / "stages/train.py")
    with stage_server(["colorsys"]):
        process = start(project, "train", PMNET_LAUNCH="env")
        assert f'"parent": {os.getpid()}' in process.communicate("")[0]


DVC = """
import subprocess, sys
for stage in sys.argv[1:]:
    print(subprocess.run(f"python stages {stage}; true", shell=True, text=True, stdout=-1, input="").stdout)
"""


@pytest.fixture
def under_dvc(project):
    """Return a function that runs stages one after the other as DVC does, and what each printed."""
    (server := project / "pmnet/runs/stage_server.py").parent.mkdir(parents=True)
    text = (ROOT / "pmnet/runs/stage_server.py").read_text()
    few = re.sub(
        r"LIBRARIES: Final = \(.*?\n\)", 'LIBRARIES: Final = ("colorsys",)', text, flags=re.DOTALL
    )
    server.write_text(few)
    (project / "dvc.py").write_text(DVC)
    (project / "temporary").mkdir()
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    settings = {"DVC_STAGE": "a@b", "TMPDIR": str(project / "temporary"), "WORD": "", "PATH": path}

    def run(*stages: str, **env: str) -> list[dict]:
        command = [sys.executable, "dvc.py", *stages]
        whole = {**os.environ, **settings, **env}
        done = subprocess.run(command, cwd=project, env=whole, text=True, stdout=-1, check=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line]

    return run


def test_plain_dvc_gets_a_server_that_ends_with_it(project, under_dvc):
    alone, starts, third, fourth = under_dvc("asked", "asked", "asked --a", "asked --b")
    assert not alone["preloaded"] and not starts["preloaded"]
    assert third["preloaded"] and fourth["preloaded"] and fourth["options"] == ["--b"]
    assert alone["parent"] != third["parent"] == fourth["parent"]
    assert ends(third["parent"])
    (mark,) = (project / "temporary" / f"pmnet-{os.getuid()}").iterdir()
    under_dvc("asked")
    assert not mark.exists()


def test_stages_run_alone_where_nobody_should_start_a_server(project, under_dvc):
    for stage in under_dvc("asked", "asked", "asked", PMNET_STAGE_SERVER="none"):
        assert not stage["preloaded"]
    (folder := project / "temporary" / f"pmnet-{os.getuid()}").mkdir()
    folder.chmod(0o777)  # anybody could put a socket there
    assert not any(stage["preloaded"] for stage in under_dvc("asked", "asked", "asked"))
