"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import track as rich_track

T = TypeVar("T")
LINE_EVERY_S = 10.0


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` while showing the progress of `what` and the time that is left."""
    if not _is_first():
        yield from items
        return
    total = total if total is not None else len(items) if isinstance(items, Sized) else None
    if sys.stderr.isatty():
        yield from rich_track(items, what, total=total, transient=True)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= LINE_EVERY_S and done:
            last = now
            left = f", {(now - start) / done * (total - done):.0f} s left" if total else ""
            say(f"{what}: {done} of {total or '?'}{left}")
        yield item


def say(line: str) -> None:
    """Print one line to standard error at once; standard output is for results."""
    if _is_first():
        print(line, file=sys.stderr, flush=True)


def _is_first() -> bool:
    """Return whether this is the first of the processes of a launcher: only the first one prints."""
    return os.environ.get("RANK", "0") == "0"
