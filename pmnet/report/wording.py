"""Differences in words: what an interval does not separate from zero is no gain."""

from typing import Final

RULE: Final = "an interval that contains zero is no clear gain and no clear loss"
DIGITS: Final = 1  # that are printed of mm


def is_clear(low: float | None, high: float | None) -> bool:
    """Return whether an interval (mm), as it is printed, excludes zero; one that is not known does not."""
    return low is not None and high is not None and bool(rounded(low) > 0 or rounded(high) < 0)


def rounded(number: float) -> float:
    """Return a number (mm) as it is printed; zero has no sign."""
    return round(number, DIGITS) + 0.0


def gain_in_words(
    gain: float, low: float | None, high: float | None, against: str, joint: str = "over"
) -> str:
    """Return a gain (mm) as a text: how much lower the error is, or higher, or that it is not clear.

    `against` follows `joint` where the difference is clear ("lower than Naive", "lower over all").
    """
    bounds = _bounds(low, high)
    if not is_clear(low, high):
        clear = f"no clear {'gain' if gain >= 0 else 'loss'}"
        return f"{clear} over {against} ({gain:+.1f} mm{bounds})"
    if gain >= 0:
        return f"{gain:.1f} mm{bounds} lower {joint} {against}"
    return f"{-gain:.1f} mm{_bounds(-high, -low)} higher {joint} {against}"  # type: ignore[operator]


def _bounds(low: float | None, high: float | None) -> str:
    return (
        ""
        if low is None or high is None or low != low
        else f" [{rounded(low):.1f}, {rounded(high):.1f}]"
    )
