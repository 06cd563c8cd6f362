"""One file of predictions under every alignment and gender: how far numbers of the field may lie apart."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
import torch

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.evaluation import prediction
from pmnet.evaluation.error_table import METRICS
from pmnet.evaluation.metrics import BodyPoints, MeasuredPoints
from pmnet.evaluation.predictions.scoring import BLOCK, Scored
from pmnet.evaluation.protocols import PROTOCOLS, Alignment, Protocol

COLUMNS: Final = ("protocol", "alignment", "joints", "truth", "genders", "n", *METRICS)
Gender = Literal["neutral", "own"]
GENDERS: Final[tuple[tuple[Gender, Gender], ...]] = (
    ("neutral", "neutral"),
    ("own", "neutral"),
    ("own", "own"),
)  # of the truth and of the prediction


def protocols_of(scored: Scored) -> list[Protocol]:
    """Return the named protocols, and every alignment with every gender, that data and body model allow."""
    every = [*PROTOCOLS.values(), *_combined(scored.protocol)]
    seen: dict[tuple[Any, ...], Protocol] = {}
    for protocol in every:
        if _is_possible(protocol, scored):
            own = tuple(getattr(protocol, f.name) for f in fields(Protocol) if f.name != "name")
            seen.setdefault(own, protocol)
    return list(seen.values())


def _combined(base: Protocol) -> Iterator[Protocol]:
    """Yield a protocol per alignment and gender, with the joints of the chosen protocol."""
    for alignment in get_args(Alignment):
        for truth, guess in GENDERS:
            yield Protocol("", base.joints, alignment, alignment, "body", truth, guess)


def _is_possible(protocol: Protocol, scored: Scored) -> bool:
    body = scored.scorer.body
    if protocol.needs_h36m() and not body.has_h36m:
        return False
    if protocol.needs_genders() and len(body.genders) < 2:
        return False
    if (protocol.truth == "joints") != (scored.protocol.truth == "joints"):
        return False  # other samples: those with annotated joints
    if protocol.truth == "joints" and protocol.joints != scored.protocol.joints:
        return False
    if protocol.prediction == "own" and scored.predicted.use != "pose":
        return False  # meshes and joints have no gender to change
    try:
        _points(scored, protocol, np.arange(1))
    except InputError:
        return False  # joints alone that this protocol does not measure
    return True


def _points(scored: Scored, protocol: Protocol, places: np.ndarray) -> None:
    """Raise InputError where the predictions lack what a protocol measures."""
    rows = torch.from_numpy(scored.joined.rows[places])
    some = scored.samples.select(rows)
    points = scored.predicted.of(scored.joined.found[places], protocol, some.gender)
    points.measured(protocol.joints)
    points.origin(protocol.mpjpe)


@torch.no_grad()
def spread(scored: Scored) -> pd.DataFrame:
    """Return the mean errors (mm) of the same predictions and samples under each protocol."""
    protocols = protocols_of(scored)
    sums = np.zeros((len(protocols), len(METRICS)))
    n = len(scored.joined.rows)
    for start in track(range(0, n, BLOCK), f"scoring under {len(protocols)} protocols"):
        places = np.arange(start, min(start + BLOCK, n))
        sums += _sums(scored, protocols, places)
    rows = [
        dict(zip(COLUMNS, (*_words(p), n, *means), strict=True))
        for p, means in zip(protocols, sums / n, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _sums(scored: Scored, protocols: list[Protocol], places: np.ndarray) -> np.ndarray:
    """Return the sums of the errors of some rows; bodies are posed once per choice of gender."""
    some = scored.samples.select(torch.from_numpy(scored.joined.rows[places]))
    found, body = scored.joined.found[places], scored.scorer.body
    guesses: dict[str, MeasuredPoints] = {}
    truths: dict[bool, BodyPoints | None] = {}
    sums = []
    for protocol in protocols:
        if protocol.prediction not in guesses:
            guesses[protocol.prediction] = scored.predicted.of(found, protocol, some.gender)
        neutral = protocol.gender == "neutral"
        truth = prediction.truth_of(some, body, protocol, truths.get(neutral))
        truths[neutral] = truth.bodies
        errors = prediction.errors_of_points(guesses[protocol.prediction], truth, protocol)
        sums.append([float(errors[metric].double().sum()) for metric in METRICS])
    return np.array(sums)


def _words(p: Protocol) -> tuple[str, ...]:
    """Return name, alignment, joints, truth and genders (truth / prediction)."""
    at = p.mpvpe if p.mpvpe == p.mpjpe else f"{p.mpvpe}, MPJPE {p.mpjpe}"
    truth = "annotated joints" if p.truth == "joints" else "body"
    return p.name, at, p.joints, truth, f"{p.gender} / {p.prediction}"
