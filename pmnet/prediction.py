"""Predictions of a trained network, and the errors of each sample under a protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.images.pixels import Pixels
from pmnet.metrics import Protocol, body_errors, mean_distance_mm
from pmnet.network import PMNet, unpack
from pmnet.samples import Samples

BATCH = 64


@dataclass(frozen=True)
class Encoded:
    """Features and scores of a data set's images."""

    features: Float[Tensor, "n h"]
    scores: Float[Tensor, "n k"]


@dataclass(frozen=True)
class Truth:
    """The ground truth of a data set, posed once for all that is compared with it."""

    params: BodyParams
    vertices: Float[Tensor, "n v 3"]
    joints: Float[Tensor, "n 24 3"]


@torch.no_grad()
def encode(network: PMNet, pixels: Pixels, device: torch.device) -> Encoded:
    """Return features and scores of all images, in order."""
    network.eval()
    parts = []
    for start in range(0, len(pixels), BATCH):
        rows = torch.arange(start, min(start + BATCH, len(pixels)))
        parts.append(network.encode(pixels.read(rows).to(device).float() / 255))
    features, scores = zip(*parts, strict=True)
    return Encoded(torch.cat(features), torch.cat(scores))


@torch.no_grad()
def pose(params: BodyParams, body: BodyModel) -> Truth:
    """Return bodies with their vertices and joints (m)."""
    return Truth(params, body.vertices(params), body.joints(params))


@torch.no_grad()
def starts(
    network: PMNet,
    encoded: Encoded,
    assigned: Int[Tensor, "n"],
    selection: Literal["hard", "soft"],
) -> Iterator[tuple[str, BodyParams]]:
    """Yield what is compared: the network, the network told the right prototype, prototypes alone."""
    chosen = network.start(encoded.scores, selection)
    right = network.memory[assigned]
    yield "model", unpack(network.regress(encoded.features, chosen)).params
    yield "oracle", unpack(network.regress(encoded.features, right)).params
    yield "chosen_prototype", unpack(chosen).params
    yield "assigned_prototype", unpack(right).params


@torch.no_grad()
def errors(
    pred: BodyParams, truth: Truth, body: BodyModel, protocol: Protocol
) -> dict[str, Float[Tensor, "n"]]:
    """Return `mpvpe_mm`, `mpjpe_mm` and `pa_mpjpe_mm` of each sample."""
    columns: dict[str, list[Tensor]] = {}
    for start in range(0, len(pred), BATCH):
        rows = slice(start, start + BATCH)
        part = pred[rows]
        found = body_errors(
            body.vertices(part),
            body.joints(part),
            truth.vertices[rows],
            truth.joints[rows],
            protocol,
        )
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    return {name: torch.cat(parts) for name, parts in columns.items()}


def distance_to_mean_mm(truth: Truth, mean: BodyParams, body: BodyModel) -> Float[Tensor, "n"]:
    """Return the mean distance (mm) of the vertices of each sample to those of the mean body.

    Unaligned, as in Fig. 1(b): `mean` is the single prototype.
    """
    return mean_distance_mm(truth.vertices, body.vertices(mean).expand_as(truth.vertices))


def error_table(
    samples: Samples,
    inference: str,
    found: dict[str, Tensor],
    distance: Float[Tensor, "n"],
    assigned: Int[Tensor, "n"],
    chosen: Int[Tensor, "n"],
) -> pd.DataFrame:
    """Return one row a sample: what was measured, and what tells the sample."""
    return pd.DataFrame(
        {
            "dataset": samples.about.dataset,
            "sample": range(len(samples)),
            "sequence": samples.sequence,
            "inference": inference,
            "distance_to_mean_mm": distance.cpu().numpy(),
            "assigned": assigned.cpu().numpy(),
            "chosen": chosen.cpu().numpy(),
            **{name: values.cpu().numpy() for name, values in found.items()},
        }
    )
