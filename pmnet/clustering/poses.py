"""Clustering for users of the library: bodies in memory in, a prototype memory out."""

from dataclasses import asdict
from typing import Final, Literal

import torch

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import PartWeights, vertex_weights
from pmnet.clustering.build import DEFAULT_CAMERA, MEAN, effective, kept_options, memory_of, spread
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.clustering.exact.embedding import embedding_of
from pmnet.clustering.exact.projection import LEARNT_FROM
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.options import Cluster
from pmnet.memory.nearest import refuse_nonfinite
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import VertexSpace

PAPER_PART_WEIGHTS: Final = PartWeights(torso=1.0, foot=0.5, head=0.3, hand=0.3)


def cluster_poses(
    params: BodyParams,
    body: BodyModel,
    k: int = 50,
    *,
    seed: int = 0,
    limb_weight: float = 5.0,
    other_weights: PartWeights = PAPER_PART_WEIGHTS,
    init: Literal["random", "kmeans++"] = "random",
    restarts: int = 1,
    max_iterations: int = 50,
    tolerance: float = 1e-4,
    cache_gib: float = 4.0,
) -> PrototypeMemory:
    """Return the prototype memory of N bodies: P3DH K-Means (Algorithm 1).

    The defaults are the paper's. The memory holds the K prototypes and, for each of the N bodies, the
    index of its nearest prototype and the distance to it (weighted m). The same bodies, body model and
    seed give the memory that the cluster stage writes for a file of these samples, but for the camera.
    The work runs where `body` is: move it to a GPU first (`body.to("cuda")`) to use one. Bodies and
    their coordinates are kept up to `cache_gib`, and made again each time beyond it.
    Raises InputError where a number is not finite, or K is not between 1 and N.
    """
    refuse_nonfinite(params, "cluster_poses")
    options = Cluster(
        k=k,
        limb_weight=limb_weight,
        part_weights=other_weights,
        max_iterations=max_iterations,
        tolerance=tolerance,
        seed=seed,
        init=init,
        restarts=restarts,
        single=MEAN,
    )
    weights = vertex_weights(body.parts, {"limb": limb_weight, **asdict(other_weights)})
    embedding = embedding_of(VertexSpace(body, weights), spread(params, LEARNT_FROM))
    embedded = embed_bodies(embedding, params, cache_gib, body.faces.device)
    clustering = kmeans(embedded, effective(options))
    settings = {**kept_options(options), "space": "vertex", "weights": "parts"}
    camera = torch.tensor(DEFAULT_CAMERA)
    return memory_of(clustering, weights.cpu(), camera, body.sha256, settings)
