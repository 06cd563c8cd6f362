"""What a score needs of a project: the samples of a data set, body, mean body, protocol and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from pmnet.body import BodyModel, read_body
from pmnet.core.errors import InputError
from pmnet.core.stage import PARAMS
from pmnet.data.samples import Samples
from pmnet.data.sets import pairs_of
from pmnet.evaluation.extra import extra_metrics
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.phrases import phrase_of
from pmnet.evaluation.predictions.scoring import NO_MEMORY, Scored, Scorer
from pmnet.evaluation.protocols import Protocol
from pmnet.images.file import Pixels
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spin import read_mean

EXTRA: Final = f"{PARAMS}: evaluate.extra"


@dataclass(frozen=True)
class MeasuredSet:
    """The samples that predictions are compared with, and which of them have an image."""

    file: Path
    samples: Samples
    seen: Tensor


def measured_set(samples: Path, images: Path | None) -> MeasuredSet:
    """Return samples; all are seen where there is no file of images."""
    table = Samples.load(samples)
    if images is None or not images.is_file():
        return MeasuredSet(samples, table, torch.ones(len(table), dtype=torch.bool))
    present = Pixels(images).present
    if len(present) != len(table):
        raise InputError(
            f"{images}: {len(present)} images, but {samples} has {len(table)} samples; run the images stage"
        )
    return MeasuredSet(samples, table, present)


def sets_of(file: Path) -> dict[str, MeasuredSet]:
    """Return the test sets of a list that the sets stage wrote, by name."""
    return {samples.stem: measured_set(samples, images) for samples, images in pairs_of(file)}


def scorer_of(body: Path, mean: Path, where: str, options: Evaluate, memory: Path | None) -> Scorer:
    """Return the scorer of a body model; `where` names the option of the mean body in errors."""
    model = BodyModel(read_body(body))
    own = None
    if memory is not None:
        own = PrototypeMemory.load(memory)
        if own.body != model.sha256:
            raise InputError(f"{memory}: made with another body model than {body}; cluster again")
    extra = extra_metrics(options.extra, EXTRA)
    return Scorer(model, read_mean(mean, model, where), options.distance, extra, own)


def header_of(
    name: str, label: str, scored: Mapping[str, Scored], options: Evaluate
) -> dict[str, Any]:
    """Return the header of a file of errors; `scored` is by data set."""
    first = next(iter(scored.values()))
    protocols: dict[str, Protocol] = {key: own.protocol for key, own in scored.items()}
    phrase = phrase_of(protocols, gendered=len(first.scorer.body.genders) > 0)
    turned = ", distances after the best turn about the vertical axis"
    return {
        "run": name,
        **NO_MEMORY,
        "label": label,
        "protocol": phrase + turned * (options.distance == "heading_free"),
        "predictions": {key: own.about() for key, own in scored.items()},
    }
