"""A memory from files of samples: the five memories of Table II are one algorithm.

| memory | what differs from P3DH |
| --- | --- |
| single prototype | k = 1 |
| K-Means Naive | space = parameter |
| Random Select | weights = flat, max_iterations = 0 |
| 3DH | weights = flat |
"""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import fit_camera
from pmnet.body.parts import BODY_PARTS, vertex_weights
from pmnet.clustering.exact.embedded import BodySlice, EmbeddedBodies
from pmnet.clustering.exact.embedding import embedding_of
from pmnet.clustering.exact.projection import LEARNT_FROM
from pmnet.clustering.kmeans import Search, kmeans
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering
from pmnet.clustering.sharding import Shard
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples, load_all
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import SpaceName, space_of

FITTED: Final = 2000  # samples that the mean camera is fitted to
FEWEST_KEYPOINTS: Final = 6  # that a camera is fitted to


class StoredBodies:
    """The bodies of files of samples, read row by row: the files stay on disk, mapped.

    What is read is turned into rotation matrices on the device where it is wanted.
    """

    def __init__(self, tables: list[Samples], device: torch.device | None = None) -> None:
        self._tables, self._device = tables, device or torch.device("cpu")
        self._valid = [table.has_smpl.nonzero()[:, 0] for table in tables]
        self._ends = torch.tensor([len(rows) for rows in self._valid]).cumsum(0)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> BodyParams:
        """Return the bodies of some rows, in their order."""
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

    def spread(self, count: int) -> BodyParams:
        """Return some bodies from all over."""
        return self[torch.arange(0, len(self), max(len(self) // count, 1))[:count]]

    def mean_camera(self, body: BodyModel) -> Float[Tensor, "3"]:
        """Return the mean of the known cameras; where there is none, see `mean_camera`."""
        pairs = list(zip(self._tables, self._valid, strict=True))
        cameras = torch.cat([table.camera[rows] for table, rows in pairs])
        known = cameras[torch.isfinite(cameras).all(1)]
        if len(known):
            return known.mean(0)
        step = max(len(self) // (4 * FITTED), 1)  # some of them have too few keypoints
        return mean_camera(Samples.cat([table.select(rows[::step]) for table, rows in pairs]), body)


def build_memory(
    samples: list[Path],
    body: Path,
    options: Cluster,
    space: SpaceName,
    weights: Literal["parts", "flat"],
    cache_gib: float,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    group: ProcessGroup | None = None,
) -> PrototypeMemory:
    """Return the memory of all samples of the files that have a pose and shape.

    The processes of a `group` share the samples out, and all return the memory.
    Raises InputError where the files do not belong to the body, or K exceeds the samples.
    """
    model = BodyModel.load(body)
    by_vertex = vertex_weights(model.parts, part_weights(options, weights))
    bodies = training_bodies(samples, model, device)
    shard = Shard.of(len(bodies), group) if group else Shard.whole(len(bodies))
    points = points_of(space, bodies, by_vertex, model, cache_gib, device, shard)
    found = kmeans(points, search_of(options), shard, checkpoint)
    settings = {**asdict(options), "space": space, "weights": weights}
    used = None if space == "parameter" else by_vertex
    return memory_of(found, used, bodies.mean_camera(model.cpu()), model.sha256, settings)


def memory_of(
    clustering: Clustering,
    vertex_weights: Tensor | None,
    camera: Float[Tensor, "3"],
    body: str,
    settings: dict[str, Any],
) -> PrototypeMemory:
    """Return the memory that a clustering found; see `PrototypeMemory` for the other arguments."""
    c = clustering
    centres = c.centres.to(torch.device("cpu"))
    parts = centres, c.assignments.cpu(), c.distances.cpu()
    return PrototypeMemory(*parts, vertex_weights, camera, body, c.history, settings)


def training_bodies(
    files: list[Path], body: BodyModel, device: torch.device | None = None
) -> StoredBodies:
    """Return the bodies of all samples that can be clustered, in order, to be used on a device."""
    return StoredBodies(load_all(files, body), device)


def points_of(
    name: SpaceName,
    bodies: StoredBodies,
    by_vertex: Tensor | None,
    body: BodyModel,
    cache_gib: float,
    device: torch.device | None,
    shard: Shard | None = None,
) -> EmbeddedBodies:
    """Return the bodies, or those of a shard, as points of the space of a memory on a device.

    Without a `device` it is the CPU.
    """
    body = body if device is None else body.to(device)
    embedding = embedding_of(space_of(name, by_vertex, body), bodies.spread(LEARNT_FROM))
    mine = bodies if shard is None else BodySlice(bodies, shard.start, shard.stop)
    return EmbeddedBodies(embedding, mine, cache_gib, device)


def search_of(options: Cluster) -> Search:
    """Return the part of the options that the search for centres needs.

    Random Select (no iterations) is one random draw, however other memories start.
    """
    search = Search(**{field.name: getattr(options, field.name) for field in fields(Search)})
    return search if options.max_iterations else replace(search, init="random", restarts=1)


def part_weights(options: Cluster, weights: Literal["parts", "flat"]) -> dict[str, float]:
    """Return the weight of each part of the body."""
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
    part = table.select(seen[evenly(len(seen), FITTED)])
    params = part.body_params()
    on_skeleton = table.about.joints == "smpl24"
    joints = body.joints(params) if on_skeleton else body.keypoints(body.vertices(params))
    found = fit_camera(joints, part.keypoints_in_crop(), part.keypoints_2d[..., 2])
    return found[torch.isfinite(found).all(1) & (found[:, 0] > 0)]
