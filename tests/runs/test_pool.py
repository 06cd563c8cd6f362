"""Stages run side by side: in the order of the graph, failed ones again, and nothing twice."""

import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from dvc.repo import Repo

from pmnet.core.errors import InputError
from pmnet.runs.graph import tasks_to_do
from pmnet.runs.pool import _start
from pmnet.runs.repro import repro_parallel
from pmnet.runs.stage_server import stage_server

GRAPH = """
stages:
  body:
    cmd: echo body >> order; echo 1 > body
    outs: [body]
  ingest:
    foreach: [x, y]
    do: {cmd: "echo ingest >> order; cp body ${item}.in", deps: [body], outs: ["${item}.in"]}
  images:
    foreach: [x, y]
    do: {cmd: "cp ${item}.in ${item}.out", deps: ["${item}.in"], outs: ["${item}.out"]}
  table:  # fails once
    cmd: test -e again || { touch again; exit 1; }; cat x.out y.out > table
    deps: [x.out, y.out]
    outs: [table]
  figure:
    cmd: echo figure >> order; cp table figure
    deps: [table]
    outs: [figure]
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setattr("pmnet.runs.pool.stage_server", partial(stage_server, ["json"]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_graph_is_run_side_by_side_and_then_only_what_changes(project, capsys):
    tasks = {task.name: task for task in tasks_to_do()}
    assert list(tasks) == ["body", "data x", "data y", "table", "figure"]
    assert tasks["data x"].stages == ["ingest@x", "images@x"]
    assert tasks["data x"].after == {"body"} and tasks["figure"].after == {"table"}
    repro_parallel(2)
    said = capsys.readouterr().err
    assert re.search(
        r"^ingest@[xy], images@[xy]: done in \d:\d\d, \d of 5 left$", said, re.MULTILINE
    )
    assert re.search(r"^table: failed in .*\n", said, re.MULTILINE)
    assert re.search(
        r"^7 stages, 2 data sets done in \d:\d\d\nlongest: .*\nlook at ", said, re.MULTILINE
    )
    assert (project / "figure").read_text() == "1\n1\n"
    assert (project / "order").read_text().split() == ["body", "ingest", "ingest", "figure"]
    assert tasks_to_do() == []
    (project / "dvc.yaml").write_text(GRAPH.replace("cat x.out y.out", "cat y.out x.out"))
    assert [task.name for task in tasks_to_do()] == ["table", "figure"]


def test_a_stage_waits_until_another_lets_go_of_the_project(project):
    with Repo() as repo, repo.lock:
        waiting = _start(["body"], None)
        time.sleep(8)  # DVC gives up after 3 s, and takes some to start
        assert waiting.poll() is None
    assert waiting.wait(60) == 0
    assert (project / "body").read_text() == "1\n"


def test_missing_inputs_are_one_error_that_names_their_settings(project):
    (project / "dvc.yaml").write_text(
        GRAPH.replace("echo 1 > body", "cp mine.npz body\n    deps: [mine.npz, other]")
    )
    (project / "params.yaml").write_text("body: {file: mine.npz}\n")
    with pytest.raises(InputError) as caught:
        repro_parallel(2)
    mine, other = str(caught.value).splitlines()
    assert mine.startswith(
        "mine.npz: no such file; params.yaml names it in body.file; docs/data.md"
    )
    assert other.startswith("other: no such file; docs/data.md")
    (project / "mine.npz").write_text("1\n")
    (project / "other").mkdir()
    assert tasks_to_do()


def test_a_sweep_of_fewer_values_is_told_how_many_there_must_be(project):
    (project / "dvc.yaml").write_text("stages: {body: {cmd: 'echo ${sweeps.k[1]}'}}")
    (project / "params.yaml").write_text("sweeps: {k: [1]}\n")
    with pytest.raises(InputError, match=r"sweeps\.k\.1.*has six values"):
        tasks_to_do()


def test_stages_run_the_python_that_runs_the_graph(project, monkeypatch):
    """`.venv/bin/pmnet repro` works in a shell where `.venv` is not active."""
    (project / "dvc.yaml").write_text("stages: {body: {cmd: which python > body, outs: [body]}}")
    monkeypatch.setenv("PATH", os.defpath)
    repro_parallel(1)
    assert Path((project / "body").read_text().strip()).parent == Path(sys.executable).parent
