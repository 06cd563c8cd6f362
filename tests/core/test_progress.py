"""Progress: few plain lines that say how much time is left and what the work says of itself."""

import pytest

from pmnet.core import progress
from pmnet.core.progress import EVERY_S, duration, track


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (59.6, "1:00"), (725.0, "12:05"), (3723.0, "1:02:03")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("every", "expected"), [(None, [10, 30, 70]), ("20", [20, 40, 60, 80])])
def test_plain_lines_come_more_and_more_seldom(capsys, monkeypatch, every, expected):
    now, seen = 0.0, ["nothing yet"]
    monkeypatch.delenv(EVERY_S, raising=False)
    monkeypatch.delenv("RANK", raising=False)
    if every:
        monkeypatch.setenv(EVERY_S, every)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    for second in track(range(100), "work", status=lambda: seen[-1]):
        now = second + 1.0
        seen.append(f"loss {second}")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"work: {done} of 100, {duration(100.0 - done)} left, loss {done - 1}" for done in expected
    ]


def test_only_the_first_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv(EVERY_S, "0")
    assert list(track([1, 2, 3], "work")) == [1, 2, 3]
    assert capsys.readouterr().err == ""
