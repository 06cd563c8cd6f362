"""The claim at the head of the page: one sentence with its interval."""

from collections.abc import Iterator
from html import escape
from typing import Any

from pmnet.core.errors import InputError
from pmnet.report.labels import DATASET_NAMES
from pmnet.report.page.folder import ReportFolder
from pmnet.report.wording import gain_in_words, is_clear

Gain = tuple[str, float, float | None, float | None]  # data set, gain and its interval (mm)


def claim_html(report: ReportFolder) -> Iterator[str]:
    """Yield the claim as one sentence with its interval, and below it what else is known of it."""
    claim, summary = report.json("claim.json"), report.json("tables/summary.json")
    try:
        if claim:
            gain = claim["gains"]["single"]["all_mpvpe"]
            own = ("", gain["gain_mm"], gain["low_mm"], gain["high_mm"])
            yield _sentence([own], claim.get("redrawn", ""))
            yield f"<p>{escape(claim['sentence'])}</p>"
        elif gains := summary.get("gain", {}):
            by_set: list[Gain] = [
                (name, g["mpvpe_mm"], g.get("mpvpe_low_mm"), g.get("mpvpe_high_mm"))
                for name, g in gains.items()
            ]
            yield _sentence(by_set, next(iter(gains.values())).get("redrawn", ""))
            yield from _by_dataset(summary, gains)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{report.path}: claim.json or tables/summary.json lacks {error}; run dvc repro"
        ) from None


def _sentence(gains: list[Gain], redrawn: str) -> str:
    """Return the gains of P3DH over the single prototype as a sentence."""
    if all(gain > 0 and is_clear(low, high) for _, gain, low, high in gains):
        parts = [
            f"by {gain:.1f}\u00a0mm [{low:.1f},\u00a0{high:.1f}]{_on(name)}"
            for name, gain, low, high in gains
        ]
        words = f"A memory of prototypes lowers MPVPE {' and '.join(parts)}."
    else:
        parts = [
            gain_in_words(gain, low, high, "a single prototype", "than with") + _on(name)
            for name, gain, low, high in gains
        ]
        words = f"A memory of prototypes, MPVPE: {'; '.join(parts)}."
    how = (
        "P3DH K-Means against a single prototype, the same images; in brackets 95 % intervals of the "
        f"paired differences{f', redrawn: {redrawn}' if redrawn else ''}. "
        "An interval that contains zero is no clear gain and no clear loss."
    )
    return f'<p class="claim">{escape(words)}</p><p class="note">{escape(how)}</p>'


def _on(dataset: str) -> str:
    return f" on {DATASET_NAMES.get(dataset, dataset)}" if dataset else ""


def _by_dataset(summary: dict[str, Any], gains: dict[str, Any]) -> Iterator[str]:
    yield '<dl class="figures">'
    for name in gains:
        own, other = (summary[method][name]["mpvpe_mm"] for method in ("p3dh", "single"))
        right = summary["prototype_accuracy"][name]
        yield (
            f"<div><dt>{escape(DATASET_NAMES.get(name, name))}, MPVPE</dt>"
            f"<dd>{other:.1f} → <b>{own:.1f} mm</b></dd></div>"
            f"<div><dt>{escape(DATASET_NAMES.get(name, name))}, right prototype</dt>"
            f"<dd><b>{right:.1%}</b></dd></div>"
        )
    yield "</dl>"
