"""Ranges of settings: an option says its range in its type, and one function checks it.

`Annotated[int, Ge(1)]` is an int of at least 1; the markers are those of `annotated_types`. The names here
are ranges that several folders use.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt, MaxLen, MinLen


class Distinct:
    """Marks a list that must not hold a value twice."""


MAX_SEED: Final = 2**32 - 1  # numpy takes no larger one
Seed = Annotated[int, Interval(ge=0, le=MAX_SEED)]
Seeds = Annotated[list[Seed], MinLen(1), Distinct()]
Names = Annotated[list[str], MinLen(1), Distinct()]
Share = Annotated[float, Interval(ge=0.0, le=1.0)]
Weight = Annotated[float, Interval(ge=0.0, le=1e9)]
Angle = Annotated[float, Interval(ge=0.0, le=360.0)]  # degrees
Count = Annotated[int, Interval(ge=1, le=10**9)]
Amount = Annotated[int, Interval(ge=0, le=10**9)]  # 0 stands for none, or for all

BOUNDS: Final = (
    (Ge, "ge", "at least"),
    (Gt, "gt", "above"),
    (Le, "le", "at most"),
    (Lt, "lt", "below"),
)


def plain_type(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its markers, and the markers."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    own, *markers = get_args(kind)
    return own, tuple(markers)


def range_of(markers: Iterable[Any]) -> str:
    """Return a range in words, such as "at least 0 and at most 1"; empty where there is none."""
    return " and ".join(words for marker in _flat(markers) if (words := _words(marker)))


def is_inside(value: Any, markers: Iterable[Any]) -> bool:
    """Return whether a value is in the range of all markers; NaN is in none."""
    return all(_holds(value, marker) for marker in _flat(markers))


def _flat(markers: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for marker in markers:
        flat += marker if isinstance(marker, GroupedMetadata) else [marker]
    return flat


def _words(marker: Any) -> str:
    for kind, name, words in BOUNDS:
        if isinstance(marker, kind):
            return f"{words} {getattr(marker, name):,}"
    if isinstance(marker, MinLen):
        return f"at least {marker.min_length} value{'s' * (marker.min_length > 1)}"
    if isinstance(marker, MaxLen):
        return f"at most {marker.max_length} values"
    return "each value once" if isinstance(marker, Distinct) else ""


def _holds(value: Any, marker: Any) -> bool:
    match marker:
        case Ge(least):
            return bool(value >= least)
        case Gt(bound):
            return bool(value > bound)
        case Le(most):
            return bool(value <= most)
        case Lt(bound):
            return bool(value < bound)
        case MinLen(fewest):
            return len(value) >= fewest
        case MaxLen(most):
            return len(value) <= most
        case Distinct():
            return len(set(value)) == len(value)
        case _:
            return True  # not a range
