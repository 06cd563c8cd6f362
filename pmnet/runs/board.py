"""Work that runs side by side, one line each: lines that change on a terminal, few plain lines elsewhere."""

import os
import re
import sys
import time
from contextlib import ExitStack
from threading import Lock
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from pmnet.core.progress import EVERY_S, say

REFRESH_S: Final = "1"  # between two lines of a job, where they replace each other on a terminal
LINE_EVERY_S: Final = (
    10.0  # elsewhere: between two lines of a job that begin alike up to their numbers
)


def seconds_between_lines() -> dict[str, str]:
    """Return the environment of a job whose lines are shown on a board."""
    return {EVERY_S: REFRESH_S} if sys.stderr.isatty() and EVERY_S not in os.environ else {}


class Board:
    """A line per running job; used as a context, from any thread."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._lock, self._stack = Lock(), ExitStack()
        self._tasks: dict[str, TaskID] = {}
        self._plain: dict[str, _PlainLines] = {}
        self._bars: Progress | None = None
        if sys.stderr.isatty():
            cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
            columns = (
                SpinnerColumn(),
                TimeElapsedColumn(table_column=Column(no_wrap=True)),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[text]}", markup=False, table_column=cut),
            )
            console = Console(stderr=True)
            self._bars = Progress(*columns, console=console, transient=True, expand=True)

    def __enter__(self) -> "Board":
        """Begin to draw, on a terminal."""
        if self._bars is not None:
            self._stack.enter_context(self._bars)
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the lines of jobs."""
        self._stack.close()

    def show(self, job: str, text: str) -> None:
        """Show the newest about a job."""
        with self._lock:
            if self._bars is None:
                self._plain.setdefault(job, _PlainLines(job)).show(text)
            elif job in self._tasks:
                self._bars.update(self._tasks[job], text=text)
            else:
                self._tasks[job] = self._bars.add_task(job, total=None, text=text)

    def end(self, job: str) -> None:
        """Remove the line of a job."""
        with self._lock:
            if self._bars is not None and job in self._tasks:
                self._bars.remove_task(self._tasks.pop(job))
            if job in self._plain:
                self._plain.pop(job).release()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            if self._bars is None:
                say(line)
            else:
                self._bars.console.print(line, markup=False, highlight=False)


class _PlainLines:
    """The lines of one job; of lines that only count on, one per LINE_EVERY_S and the last."""

    def __init__(self, job: str) -> None:
        self._job, self._beginning, self._held = job, "", ""
        self._printed_at = -LINE_EVERY_S

    def show(self, text: str) -> None:
        """Print a line, or hold it back until another kind of line or the end comes."""
        beginning = re.split(r"\d", text)[0]
        if beginning != self._beginning:
            self.release()
            self._printed_at = -LINE_EVERY_S
        self._beginning, self._held = beginning, text
        if time.monotonic() - self._printed_at >= LINE_EVERY_S:
            self._printed_at = time.monotonic()
            self.release()

    def release(self) -> None:
        """Print the line that was held back."""
        if self._held:
            say(f"{self._job}: {self._held}")
        self._held = ""
