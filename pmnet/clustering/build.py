"""A memory from files of samples: one algorithm makes the five memories of Table II.

| memory | what differs from P3DH |
| --- | --- |
| single prototype | k = 1 |
| K-Means Naive | space = parameter |
| Random Select | weights = flat, max_iterations = 0 |
| 3DH | weights = flat |
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import fit_camera
from pmnet.body.parts import BODY_PARTS, vertex_weights
from pmnet.clustering.exact.embedded import BodySlice, BodySource, EmbeddedBodies, embed_bodies
from pmnet.clustering.exact.embedding import embedding_of
from pmnet.clustering.exact.projection import LEARNT_FROM
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering
from pmnet.clustering.sharding import Shard
from pmnet.clustering.single import HEADINGS, distances_to, warn_of_headings
from pmnet.core.errors import InputError
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples, load_all
from pmnet.memory.prototypes import Iteration, PrototypeMemory
from pmnet.memory.spaces import SpaceName, space_of
from pmnet.memory.spin import read_memory

SINGLE: Final = "params.yaml: cluster.single"
MEAN: Final = "mean"  # `single`: the mean of the training bodies, Algorithm 1 with K = 1
FITTED: Final = 2000  # most samples whose cameras are fitted for the mean camera
CPU: Final = torch.device("cpu")
DEFAULT_CAMERA: Final = (0.9, 0.0, 0.0)  # HMR's first guess, where nothing tells the camera
FEWEST_KEYPOINTS: Final = 6  # with fewer, no camera is fitted to a sample


@dataclass(frozen=True)
class MemoryRequest:
    """A memory to be made: from which files, how, and on which device.

    Up to `cache_gib` of bodies and coordinates are kept; the others are made anew when needed.
    """

    samples: list[Path]
    body: Path
    options: Cluster
    space: SpaceName
    weights: Literal["parts", "flat"]
    cache_gib: float
    device: torch.device = CPU

    def part_weights(self) -> dict[str, float]:
        """Return the weight of each part of the body."""
        if self.weights == "flat":
            return dict.fromkeys(BODY_PARTS, 1.0)
        weights = {"limb": self.options.limb_weight, **asdict(self.options.part_weights)}
        if not any(weights.values()):
            raise InputError(
                "cluster: limb_weight and all part_weights are 0, so that all bodies are equal; set one "
                "above 0"
            )
        return weights

    def settings(self) -> dict[str, Any]:
        """Return the settings that the memory keeps."""
        return {**kept_options(self.options), "space": self.space, "weights": self.weights}


class StoredBodies:
    """The bodies of files of samples, which stay on disk, mapped, and are read row by row.

    The rows that are read become rotation matrices on a device.
    """

    def __init__(self, tables: list[Samples], device: torch.device) -> None:
        self._tables, self._device = tables, device
        self._valid = [table.has_smpl.nonzero()[:, 0] for table in tables]
        self._ends = torch.tensor([len(rows) for rows in self._valid]).cumsum(0)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows, in the order of the rows."""
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(len(self)))
        rows = rows.cpu()
        table_of = torch.searchsorted(self._ends, rows, right=True)
        rotvecs, betas = torch.empty(len(rows), 24, 3), torch.empty(len(rows), 10)
        for index, (table, valid) in enumerate(zip(self._tables, self._valid, strict=True)):
            mine = (table_of == index).nonzero()[:, 0]
            if len(mine):
                first = self._ends[index] - len(valid)
                own = valid[rows[mine] - first]
                turned = torch.cat([table.global_orient[own], table.body_pose[own]], 1)
                rotvecs[mine], betas[mine] = turned.view(-1, 24, 3), table.betas[own]
        return BodyParams.from_rotvecs(rotvecs.to(self._device), betas.to(self._device))

    def mean_camera(self, body: BodyModel) -> Float[Tensor, "3"]:
        """Return the mean of the known cameras; if none is known, the one of `mean_camera`."""
        pairs = list(zip(self._tables, self._valid, strict=True))
        cameras = torch.cat([table.camera[rows] for table, rows in pairs])
        known = cameras[torch.isfinite(cameras).all(1)]
        if len(known):
            return known.mean(0)
        step = max(len(self) // (4 * FITTED), 1)  # four times as many: some have too few keypoints
        return mean_camera(Samples.cat([table.select(rows[::step]) for table, rows in pairs]), body)


def spread(bodies: BodySource, count: int) -> BodyParams:
    """Return at most `count` bodies, evenly spread."""
    return bodies[torch.arange(0, len(bodies), max(len(bodies) // count, 1))[:count]]


def build_memory(
    request: MemoryRequest, checkpoint: Path | None = None, group: ProcessGroup | None = None
) -> PrototypeMemory:
    """Return the memory of all samples that have a pose and shape.

    The processes of a `group` share the samples, and all return the memory. A search continues from its
    `checkpoint`, if there is one. Raises InputError if the files do not belong to the body, or if K exceeds
    the number of samples.
    """
    body = BodyModel.load(request.body)
    weights = vertex_weights(body.parts, request.part_weights())
    bodies = StoredBodies(load_all(request.samples, body), request.device)
    if request.options.k == 1 and request.options.single != MEAN:
        return given_memory(request, bodies, weights, body)
    shard = Shard.of(len(bodies), group) if group else Shard.whole(len(bodies))
    embedded = embedded_bodies(request, bodies, weights, body, shard)
    clustering = kmeans(embedded, effective(request.options), shard, checkpoint)
    settings = request.settings()
    used = None if request.space == "parameter" else weights
    camera = bodies.mean_camera(body.cpu())
    if request.options.k == 1:
        warn_of_headings(spread(bodies, HEADINGS).rotmats[:, 0])
    return memory_of(clustering, used, camera, body.sha256, settings)


def kept_options(options: Cluster) -> dict[str, Any]:
    """Return the options that a memory keeps; `single` only where a file replaces the mean body."""
    kept = asdict(options)
    if options.single == MEAN or options.k > 1:
        del kept["single"]
    return kept


def given_memory(
    request: MemoryRequest, bodies: StoredBodies, weights: Float[Tensor, "v"], body: BodyModel
) -> PrototypeMemory:
    """Return the memory whose one prototype is the body of the file `single`, with all samples assigned.

    Its camera is the file's. Raises InputError where the file holds no single body.
    """
    file = request.options.single
    given = read_memory(Path(file), body, SINGLE)
    if len(given) != 1:
        raise InputError(f"{SINGLE}: {file} holds {len(given)} prototypes; expected one")
    space = space_of(request.space, weights, body.to(request.device))
    distances = distances_to(given.prototypes.to(request.device), bodies, space)
    return PrototypeMemory(
        given.prototypes,
        torch.zeros(len(bodies), dtype=torch.long),
        distances,
        None if request.space == "parameter" else weights.cpu(),
        given.camera,
        body.sha256,
        [Iteration(0, float(distances.double().mean()), len(bodies), 0)],
        request.settings(),
    )


def memory_of(
    clustering: Clustering,
    vertex_weights: Tensor | None,
    camera: Float[Tensor, "3"],
    body: str,
    settings: dict[str, Any],
) -> PrototypeMemory:
    """Return the memory of a clustering; `PrototypeMemory` explains the other arguments."""
    c = clustering
    centres = c.centres.to(torch.device("cpu"))
    parts = centres, c.assignments.cpu(), c.distances.cpu()
    return PrototypeMemory(*parts, vertex_weights, camera, body, c.history, settings)


def embedded_training_bodies(request: MemoryRequest) -> EmbeddedBodies:
    """Return all samples of a request that have a pose and shape, embedded in its space."""
    body = BodyModel.load(request.body)
    weights = vertex_weights(body.parts, request.part_weights())
    bodies = StoredBodies(load_all(request.samples, body), request.device)
    return embedded_bodies(request, bodies, weights, body, Shard.whole(len(bodies)))


def embedded_bodies(
    request: MemoryRequest,
    bodies: StoredBodies,
    weights: Float[Tensor, "v"],
    body: BodyModel,
    shard: Shard,
) -> EmbeddedBodies:
    """Return the bodies of a shard, embedded in the space of a request; `body` moves to its device."""
    space = space_of(request.space, weights, body.to(request.device))
    embedding = embedding_of(space, spread(bodies, LEARNT_FROM))
    mine = BodySlice(bodies, shard.start, shard.stop)
    return embed_bodies(embedding, mine, request.cache_gib, request.device)


def effective(options: Cluster) -> Cluster:
    """Return the options that K-Means runs with.

    Random Select (no iterations) is one random draw, whatever `init` and `restarts` other memories use.
    """
    return options if options.max_iterations else replace(options, init="random", restarts=1)


def mean_camera(table: Samples, body: BodyModel) -> Float[Tensor, "3"]:
    """Return the mean camera (s, tx, ty) of samples with bodies.

    If no camera is known, cameras are fitted to the 2D keypoints of at most FITTED samples, spread evenly.
    Without keypoints either, it is HMR's first guess.
    """
    known = table.camera[torch.isfinite(table.camera).all(1)]
    if not len(known):
        known = _fitted_cameras(table, body)
    return known.mean(0) if len(known) else torch.tensor(DEFAULT_CAMERA)


def _fitted_cameras(table: Samples, body: BodyModel) -> Float[Tensor, "n 3"]:
    seen = ((table.keypoints_2d[..., 2] > 0).sum(1) >= FEWEST_KEYPOINTS).nonzero()[:, 0]
    part = table.select(seen[evenly(len(seen), FITTED)])
    params = part.body_params()
    on_skeleton = table.about.joints == "smpl24"
    joints = body.joints(params) if on_skeleton else body.keypoints(body.vertices(params))
    cameras = fit_camera(joints, part.keypoints_in_crop(), part.keypoints_2d[..., 2])
    return cameras[torch.isfinite(cameras).all(1) & (cameras[:, 0] > 0)]
