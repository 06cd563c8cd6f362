"""Progress of long work: a bar on a terminal, few plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Final, TypeVar

T = TypeVar("T")
LINE_EVERY_S: Final = 10.0  # the first plain line; each further one comes after twice the time
LONGEST_S: Final = 600.0
REDRAW_S: Final = 0.2
# environment: seconds between plain lines, set by a process that shows the lines of many in one place
EVERY_S: Final = "PMNET_PROGRESS_S"


def track(
    items: Iterable[T], what: str, total: int | None = None, status: Callable[[], str] = str
) -> Iterator[T]:
    """Yield `items` while showing the progress of `what`, the time that is left, and its `status`."""
    if not _is_first():
        yield from items
        return
    total = total if total is not None else len(items) if isinstance(items, Sized) else None
    if sys.stderr.isatty():
        yield from _with_bar(items, what, total, status)
        return
    given = os.environ.get(EVERY_S)
    every, growth = (float(given), 1) if given else (LINE_EVERY_S, 2)
    start = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= every and done:
            last, every = now, min(every * growth, max(every, LONGEST_S))
            left = duration((now - start) / done * (total - done)) + " left" if total else ""
            count = f"{done} of {total or '?'}"
            say(f"{what}: {', '.join(filter(None, [count, left, status()]))}")
        yield item


def _with_bar(
    items: Iterable[T], what: str, total: int | None, status: Callable[[], str]
) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Left
    from rich.table import Column

    whole, cut = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        TextColumn("{task.description}", table_column=whole),
        BarColumn(20),
        TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
        Left(compact=True, table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[status]}", markup=False, table_column=cut),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task, drawn = bar.add_task(what, total=total, status=""), 0.0
        for done, item in enumerate(items):
            if (now := time.monotonic()) - drawn >= REDRAW_S:
                drawn = now
                bar.update(task, completed=done, status=status())
            yield item


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(line: str) -> None:
    """Print one line to standard error at once; standard output is for results."""
    if _is_first():
        print(line, file=sys.stderr, flush=True)


def _is_first() -> bool:
    """Return whether this is the first of the processes of a launcher: only the first one prints."""
    return os.environ.get("RANK", "0") == "0"
