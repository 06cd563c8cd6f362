"""Work that kills the process that does it."""

import os
import signal


def no_start(*setup: object) -> None:
    """Set nothing up."""


def die(rows: slice) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def count(rows: slice) -> int:
    """Return the number of rows."""
    return rows.stop - rows.start
