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
    """Yield `items`, showing how far it is, `what` it is, and how long it will take."""
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
    """Print one plain line at once, on the error stream: standard output is for results."""
    if _is_first():
        print(line, file=sys.stderr, flush=True)


def _is_first() -> bool:
    """Return whether this process speaks for those that torchrun started with it."""
    return os.environ.get("RANK", "0") == "0"
