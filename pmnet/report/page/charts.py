"""Charts of the page as SVG, drawn here so that they need no script: lines with bands, sweeps, training."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

import pandas as pd

WIDTH: Final = 400
HEIGHT: Final = 270
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
COUNTS: Final = 46  # height of the bars that count samples
TICKS: Final = 5
MOST_MARKS: Final = 40  # points of a line that are marked
# markers by key, as in the other figures; they differ for print in grey
CIRCLE, SQUARE = "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0", "M-3-3H3V3H-3z"
DIAMOND, TRIANGLE = "M0-4L4 0L0 4L-4 0z", "M0-4.2L4 3H-4z"
MARKS: Final = {
    **{"single": CIRCLE, "naive": TRIANGLE, "random": SQUARE, "3dh": DIAMOND, "p3dh": CIRCLE},
    **{"subset0": CIRCLE, "subset1": SQUARE, "subset2": DIAMOND, "subset3": TRIANGLE},
}


@dataclass(frozen=True)
class Series:
    """One line of a chart. `key` chooses colour and marker in the page's style."""

    key: str
    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """One chart: its lines, and the number of samples at each x."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    counts: Sequence[tuple[float, int]] = ()
    log_x: bool = False
    log_y: bool = False
    bars: bool = False  # intervals as bars, not as bands
    ticks: Sequence[float] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Scale:
    """A linear or logarithmic map of numbers to pixels."""

    low: float
    high: float
    start: int
    end: int
    log: bool

    def __call__(self, number: float) -> float:
        low, high, at = self.low, self.high, number
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(number, 1e-12))
        return self.start + (at - low) / (high - low or 1.0) * (self.end - self.start)


def figure(panels: Sequence[Panel], caption: str, name: str, numbers: str = "") -> str:
    """Return a figure: legend, panels and caption; `numbers` is a table of its numbers."""
    labels = {one.key: one.label for panel in panels for one in panel.series}
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-series="{key}" class="s-{key}">'
        f"{_swatch(key)}{escape(label)}</button>"
        for key, label in labels.items()
    )
    drawn = "".join(f'<div class="panel">{_svg(panel)}</div>' for panel in panels)
    folded = f"<details><summary>Numbers</summary>{numbers}</details>" if numbers else ""
    return (
        f'<figure class="chart" id="{name}"><div class="legend" role="group" aria-label="Lines">{legend}'
        f'</div><div class="panels">{drawn}</div><figcaption>{caption}</figcaption>{folded}</figure>'
    )


def numbers_table(rows: pd.DataFrame, heads: Sequence[str]) -> str:
    """Return the numbers of a chart as a plain table."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    lines = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>"
        for row in rows.itertuples(index=False, name=None)
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the chart">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:g}"
    return escape(str(cell))


def _swatch(key: str) -> str:
    return (
        '<svg viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">'
        '<path class="line" d="M1 6H27"/>'
        f'<path class="mark" transform="translate(14 6)" d="{MARKS[key]}"/></svg>'
    )


def _finite(numbers: Iterable[float]) -> list[float]:
    return [x for x in numbers if x == x and abs(x) != math.inf]


def _svg(panel: Panel) -> str:
    """Return the drawing of one panel."""
    counted = COUNTS if panel.counts else 0
    height = HEIGHT + counted
    xs = _finite(x for one in panel.series for x in one.x)
    ys = _finite(y for one in panel.series for part in (one.y, one.low, one.high) for y in part)
    if not xs or not ys:
        return f"<p>{escape(panel.title)}: no numbers</p>"
    x, y = _x_scale(panel, xs), _y_scale(panel, ys)
    inside = [
        *_grid(panel, x, y),
        *(part for one in panel.series for part in _series(panel, one, x, y)),
        *(_counts(panel, x) if panel.counts else ()),
    ]
    label = f"{panel.title}: {panel.y_label} against {panel.x_label}"
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {height + 18}" role="img" aria-label="{escape(label)}">'
        f'<text class="title" x="{LEFT}" y="12">{escape(panel.title)}</text>'
        f'<g transform="translate(0 18)">{"".join(inside)}'
        f'<text class="label" x="{middle}" y="{height - 4}" text-anchor="middle">'
        f"{escape(panel.x_label)}</text>"
        f'<text class="label" transform="translate(10 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(panel.y_label)}</text></g></svg>'
    )


def _x_scale(panel: Panel, xs: list[float]) -> _Scale:
    low, high = min(xs), max(xs)
    if panel.log_x and low > 0:
        ratio = (high / low) ** 0.06 if high > low else 1.5
        return _Scale(low / ratio, high * ratio, LEFT, WIDTH - RIGHT, True)
    pad = (high - low) * 0.05 or 1.0
    return _Scale(low - pad, high + pad, LEFT, WIDTH - RIGHT, False)


def _y_scale(panel: Panel, ys: list[float]) -> _Scale:
    low, high = min(ys), max(ys)
    if panel.log_y and low > 0:
        return _Scale(low / 1.1, high * 1.1, HEIGHT - BOTTOM, TOP, True)
    low, high = min(low, 0.0), max(high, 0.0) * 1.04
    return _Scale(low * 1.04, high or 1.0, HEIGHT - BOTTOM, TOP, False)


def _grid(panel: Panel, x: _Scale, y: _Scale) -> Iterator[str]:
    """Yield the lines and numbers of both axes."""
    floor = HEIGHT - BOTTOM
    for tick in _log_ticks(y.low, y.high) if y.log else _nice_ticks(y.low, y.high):
        high = f"{y(tick):.1f}"
        yield f'<path class="grid{" zero" * (tick == 0)}" d="M{LEFT} {high}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{high}" dy="0.34em" text-anchor="end">{tick:g}</text>'
    yield f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>'
    last = -math.inf
    for tick in panel.ticks or _nice_ticks(x.low, x.high):
        at = x(tick)
        yield f'<path class="axis" d="M{at:.1f} {floor}v4"/>'
        if at - last >= 22:
            yield f'<text x="{at:.1f}" y="{floor + 16}" text-anchor="middle">{tick:g}</text>'
            last = at


def _nice_ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two numbers."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two numbers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]


def _series(panel: Panel, one: Series, x: _Scale, y: _Scale) -> Iterator[str]:
    """Yield band or bars, line and marks of a series, in one group."""
    places = [
        (x(a), y(b), a, b, i)
        for i, (a, b) in enumerate(zip(one.x, one.y, strict=True))
        if a == a and b == b and not (y.log and b <= 0)
    ]
    yield f'<g class="series s-{one.key}" data-series="{one.key}">'
    if one.low:
        ends = [
            (px, y(one.low[i]), y(one.high[i]))
            for px, _, _, _, i in places
            if one.low[i] == one.low[i]
        ]
        if panel.bars:
            for px, low, high in ends:
                ends_of_bar = f"m-3 0h6M{px - 3:.1f} {low:.1f}h6"
                yield f'<path class="bar" d="M{px:.1f} {low:.1f}V{high:.1f}{ends_of_bar}"/>'
        elif len(ends) > 1:
            there = " ".join(f"{px:.1f},{high:.1f}" for px, _, high in ends)
            back = " ".join(f"{px:.1f},{low:.1f}" for px, low, _ in reversed(ends))
            yield f'<polygon class="band" points="{there} {back}"/>'
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py, *_ in places)
    yield f'<polyline class="line" points="{line}"/>'
    if len(places) <= MOST_MARKS:
        for px, py, a, b, i in places:
            between = ""
            if one.low and one.low[i] == one.low[i]:
                between = f" [{one.low[i]:.1f}, {one.high[i]:.1f}]"
            about = f"{one.label}: {b:.1f}{between} at {a:g}"
            yield (
                f'<path class="mark" transform="translate({px:.1f} {py:.1f})" d="{MARKS[one.key]}" '
                f'data-x="{a:g}" data-y="{b:g}"><title>{escape(about)}</title></path>'
            )
    yield "</g>"


def _counts(panel: Panel, x: _Scale) -> Iterator[str]:
    """Yield bars with the number of samples at each x, on a logarithmic scale."""
    most = max(n for _, n in panel.counts)
    base, places = HEIGHT + COUNTS - 22, [x(at) for at, _ in panel.counts]
    gaps = [b - a for a, b in itertools.pairwise(places)]
    width = max(3.0, min([24.0, *(gap * 0.7 for gap in gaps)]))
    for place, (_, n) in zip(places, panel.counts, strict=True):
        tall = 3 + 15 * math.log(n + 1) / math.log(most + 1)
        yield (
            f'<rect class="count" x="{place - width / 2:.1f}" y="{base - tall:.1f}" '
            f'width="{width:.1f}" height="{tall:.1f}"/>'
            f'<text class="n" x="{place:.1f}" y="{base - tall - 2:.1f}" text-anchor="middle">'
            f"{_short(n)}</text>"
        )
    yield f'<text class="n" x="{LEFT - 6}" y="{base}" text-anchor="end">n</text>'


def _short(n: int) -> str:
    return f"{n}" if n < 1000 else f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"
