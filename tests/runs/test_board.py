"""What runs side by side says: few plain lines, none of them lost but those that only count on."""

import io
import sys

import pytest

from pmnet.core.progress import EVERY_S
from pmnet.runs import board
from pmnet.runs.board import Board, seconds_between_lines


def test_lines_that_count_on_are_thinned_and_the_last_is_kept(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(board.time, "monotonic", lambda: now)
    with Board() as shown:
        for step in range(10):
            now = 4.0 * step
            shown.show("run a", f"K-Means {step}: mean distance {step}")
            shown.show("run b", f"training: {step} of 9")
        shown.show("run a", "12 rows were dropped")
        shown.end("run a")
        shown.say("run a: done")
        shown.end("run b")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("run a")] == [
        *(f"run a: K-Means {step}: mean distance {step}" for step in (0, 3, 6, 9)),
        *("run a: 12 rows were dropped", "run a: done"),
    ]
    assert [line for line in lines if line.startswith("run b")] == [
        f"run b: training: {step} of 9" for step in (0, 3, 6, 9)
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_per_job_and_keeps_what_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.delenv(EVERY_S, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    assert seconds_between_lines() == {EVERY_S: "1"}
    with Board() as shown:
        shown.show("run a", "1 of 9, loss [bold]1.5")
        shown.show("run a", "2 of 9, loss [bold]1.4")
        assert shown._bars is not None and len(shown._bars.tasks) == 1
        assert shown._bars.tasks[0].fields["text"] == "2 of 9, loss [bold]1.4"
        shown.end("run a")
        assert shown._bars.tasks == []
        shown.say("run a: done")
    assert "run a: done" in terminal.getvalue()


def test_elsewhere_jobs_keep_their_own_pace(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert seconds_between_lines() == {}
    with pytest.raises(RuntimeError), Board():
        raise RuntimeError
