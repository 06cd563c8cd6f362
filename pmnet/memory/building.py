"""A memory from files of samples: the five memories of Table II are one algorithm.

| memory | what differs from P3DH |
| --- | --- |
| single prototype | k = 1 |
| K-Means Naive | space = parameter |
| Random Select | weights = flat, max_iterations = 0 |
| 3DH | weights = flat |
"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.parts import BODY_PARTS, vertex_weights
from pmnet.errors import InputError
from pmnet.memory.kmeans import kmeans
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.space import ParameterSpace, Space, VertexSpace
from pmnet.params import Cluster
from pmnet.samples import Samples


def build_memory(
    samples: list[Path],
    body: Path,
    options: Cluster,
    space: Literal["vertex", "parameter"],
    weights: Literal["parts", "flat"],
    cache_gib: float,
) -> PrototypeMemory:
    """Return the memory of all samples of the files that have a pose and shape.

    Raises InputError where the files do not belong to the body, or K exceeds the samples.
    """
    model = BodyModel.load(body)
    table = training_samples(samples, model)
    w = _part_weights(options, weights)
    by_vertex = vertex_weights(model.parts, w) if space == "vertex" else None
    found = kmeans(
        space_of(by_vertex, model),
        table.body_params(),
        options.k,
        options.max_iterations,
        options.tolerance,
        options.seed,
        cache_gib,
    )
    settings = {**asdict(options), "space": space, "weights": weights}
    return PrototypeMemory.of(found, by_vertex, _mean_camera(table), model.sha256, settings)


def training_samples(files: list[Path], body: BodyModel) -> Samples:
    """Return the samples of all files that can be clustered, in order."""
    table = Samples.cat([Samples.load(file) for file in files])
    if table.about.body != body.sha256:
        raise InputError(
            f"{files[0]}: ingested with another body model than the one given; run ingest again"
        )
    return table.select(table.has_smpl.nonzero()[:, 0])


def space_of(by_vertex: Tensor | None, body: BodyModel) -> Space:
    """Return the space of a memory: vertices with these weights, or parameters where None."""
    return ParameterSpace() if by_vertex is None else VertexSpace(body, by_vertex)


def _part_weights(options: Cluster, weights: Literal["parts", "flat"]) -> dict[str, float]:
    if weights == "flat":
        return dict.fromkeys(BODY_PARTS, 1.0)
    return {"limb": options.limb_weight, **asdict(options.part_weights)}


def _mean_camera(table: Samples) -> Tensor:
    """Return the mean camera (s, tx, ty); where no sample knows its camera, HMR's first guess."""
    known = table.camera[torch.isfinite(table.camera).all(1)]
    return known.mean(0) if len(known) else torch.tensor([0.9, 0.0, 0.0])
