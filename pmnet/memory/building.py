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
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.parts import BODY_PARTS, vertex_weights
from pmnet.camera import fit_camera
from pmnet.errors import InputError
from pmnet.memory.kmeans import kmeans
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.space import ParameterSpace, Space, VertexSpace
from pmnet.params import Cluster
from pmnet.samples import Samples

FITTED: Final = 2000  # samples that the mean camera is fitted to
FEWEST_KEYPOINTS: Final = 6  # that a camera is fitted to


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
    return PrototypeMemory.of(found, by_vertex, mean_camera(table, model), model.sha256, settings)


def training_samples(files: list[Path], body: BodyModel) -> Samples:
    """Return the samples of all files that can be clustered, in order."""
    table = all_samples(files, body)
    return table.select(table.has_smpl.nonzero()[:, 0])


def all_samples(files: list[Path], body: BodyModel) -> Samples:
    """Return the samples of all files, in order; raises InputError where one is of another body."""
    table = Samples.cat([Samples.load(file) for file in files])
    if table.about.body != body.sha256:
        raise InputError(
            f"{files[0]}: ingested with another body model than the one given; run ingest again"
        )
    return table


def space_of(by_vertex: Tensor | None, body: BodyModel) -> Space:
    """Return the space of a memory: vertices with these weights, or parameters where None."""
    return ParameterSpace() if by_vertex is None else VertexSpace(body, by_vertex)


def _part_weights(options: Cluster, weights: Literal["parts", "flat"]) -> dict[str, float]:
    if weights == "flat":
        return dict.fromkeys(BODY_PARTS, 1.0)
    return {"limb": options.limb_weight, **asdict(options.part_weights)}


def mean_camera(table: Samples, body: BodyModel) -> Float[Tensor, "3"]:
    """Return the mean camera (s, tx, ty) of samples with bodies.

    Where no sample knows its camera, cameras are fitted to the 2D keypoints of at most FITTED samples,
    spread evenly; without such keypoints either, HMR's first guess.
    """
    known = table.camera[torch.isfinite(table.camera).all(1)]
    if not len(known):
        known = _fitted_cameras(table, body)
    return known.mean(0) if len(known) else torch.tensor([0.9, 0.0, 0.0])


def _fitted_cameras(table: Samples, body: BodyModel) -> Float[Tensor, "n 3"]:
    seen = ((table.keypoints_2d[..., 2] > 0).sum(1) >= FEWEST_KEYPOINTS).nonzero()[:, 0]
    if len(seen) > FITTED:
        seen = seen[torch.linspace(0, len(seen) - 1, FITTED, dtype=torch.float64).round().long()]
    part = table.select(seen)
    params = part.body_params()
    on_skeleton = table.about.joints == "smpl24"
    joints = body.joints(params) if on_skeleton else body.keypoints(body.vertices(params))
    found = fit_camera(joints, part.keypoints_in_crop(), part.keypoints_2d[..., 2])
    return found[torch.isfinite(found).all(1) & (found[:, 0] > 0)]
