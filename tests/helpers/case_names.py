"""Names of the cases of a test, the same in each process: no addresses of functions, no order of sets."""

from typing import Any


def case_name(value: Any) -> str:
    """Return the start of a value as text; of a function its name."""
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    return getattr(value, "__name__", None) or str(value)[:40]
