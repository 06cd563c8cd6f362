"""The steps of the build as a person sees them: a line at the start and one at the end of each."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pmnet.core.progress import say


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the name of a step, and how long it took (s) when it has ended well."""
    say(name)
    started = time.perf_counter()
    yield
    say(f"  done in {time.perf_counter() - started:.1f} s")
