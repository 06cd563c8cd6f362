"""The training data: images with their ground truth, and how often each sample is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.data.samples import JointSet, Samples, all_samples
from pmnet.images.file import Pixels, check_images
from pmnet.images.store import ImageStore
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.losses import TrainingTargets
from pmnet.training.batches import Group, batches, drawn_batches, inverse_frequency, shares_of
from pmnet.training.options import Train

BINS: Final = 20  # of the distance between the joints and the mean joints
MAX_WEIGHT: Final = 20.0  # a sample is drawn at most 20 times as often as the average sample


@dataclass(frozen=True)
class TrainingData:
    """Training images with their ground truth, in the order of the samples.

    `sizes` lists the data sets in order, each with its number of samples. Samples without an image are
    never drawn.
    """

    image_names: list[str]
    images: ImageStore
    targets: TrainingTargets
    joints: JointSet
    sizes: list[tuple[str, int]]

    @staticmethod
    def of(
        samples: Samples,
        images: ImageStore,
        prototypes: Int[Tensor, "n"],
        sizes: list[tuple[str, int]],
    ) -> "TrainingData":
        """Return the data of samples, their images, and their prototypes (-1: not assigned)."""
        keypoints_2d = torch.cat([samples.keypoints_in_crop(), samples.keypoints_2d[..., 2:]], 2)
        targets = TrainingTargets(
            params=samples.body_params(),
            keypoints_3d=samples.keypoints_3d,
            keypoints_2d=keypoints_2d,
            has_smpl=samples.has_smpl,
            has_keypoints_3d=samples.has_keypoints_3d,
            prototype=prototypes,
        )
        joints = samples.about.joints
        return TrainingData(samples.image_name, images, targets, joints, sizes)

    def __len__(self) -> int:
        return len(self.image_names)

    def batches(self, options: Train, seed: int, first: int) -> Iterator[Int[Tensor, "b"]]:
        """Yield the rows of the steps from `first` on.

        Raises InputError where no sample has an image, and for an impossible `mix` (see `shares_of`).
        """
        present = self.images.present
        usable = present.nonzero()[:, 0]
        if not len(usable):
            raise InputError(
                "no training sample has an image; check the output of the images stage"
            )
        size, last = options.batch_size, options.steps
        if not options.mix and options.balance.sampling == "uniform":
            order = batches(len(usable), size, seed, first, last)
            return (usable[rows] for rows in order)
        named = dict(self.sizes) if options.mix else {"all": len(self)}
        ends = torch.tensor(list(named.values())).cumsum(0).tolist()
        weights = self.weights(options)
        groups, counts = [], {}
        for (name, n), end in zip(named.items(), ends, strict=True):
            rows = usable[(usable >= end - n) & (usable < end)]
            groups.append(Group(rows, None if weights is None else weights[rows]))
            counts[name] = len(rows)
        shares = shares_of(options.mix, counts)
        return drawn_batches(groups, shares, size, seed, first, last)

    def weights(self, options: Train) -> Float[Tensor, "n"] | None:
        """Return the sampling weight of each sample, 1 on average; None: all are equal."""
        known, kinds = self.targets.has_smpl, self.targets.prototype
        if options.balance.sampling == "uniform":
            return None
        if options.balance.sampling == "distance":
            known, kinds = self._distance_bins()
        weights = torch.ones(len(self))
        weights[known] = inverse_frequency(kinds[known]).clamp_max(MAX_WEIGHT)
        return weights

    def _distance_bins(self) -> tuple[Bool[Tensor, "n"], Int[Tensor, "n"]]:
        """Return which samples have all 3D joints, and the bin of their distance to the mean joints."""
        joints, confidence = self.targets.keypoints_3d.split([3, 1], 2)
        known = self.targets.has_keypoints_3d & (confidence[..., 0] > 0).all(1)
        if not known.any():
            raise InputError(
                "train.balance.sampling is distance, but no training sample has all 3D joints"
            )
        rooted = joints - joints[:, :1]
        distance = (rooted - rooted[known].mean(0)).norm(dim=2).mean(1)
        low, high = distance[known].min(), distance[known].max()
        bins = (distance - low) / (high - low).clamp_min(1e-6) * BINS
        return known, bins.nan_to_num(0).long().clamp(0, BINS - 1)


@lru_cache(maxsize=1)
def _opened(files: tuple[tuple[Path, float], ...]) -> ImageStore:
    """Return the images of files, by path and time of change: trainings of one process share them."""
    return ImageStore([Pixels(path) for path, _ in files])


def load_training_data(
    samples: list[Path], images: list[Path], memory: PrototypeMemory, body: BodyModel
) -> TrainingData:
    """Return all samples with their images, and the prototypes that the memory assigns to them.

    The memory assigns the samples with SMPL, in order; other samples have no prototype.
    Raises InputError where the files do not belong together.
    """
    if len(samples) != len(images):
        raise InputError(f"{len(samples)} files of samples, but {len(images)} of images")
    store = _opened(
        tuple((path, path.stat().st_mtime if path.exists() else 0.0) for path in images)
    )
    sizes = []
    for file, source in zip(samples, store.pixels, strict=True):
        part = Samples.load(file)
        check_images(file, part, source)
        sizes.append((part.about.dataset, len(part)))
    table = all_samples(samples, body)
    assigned = int(table.has_smpl.sum())
    if len(memory.assignments) != assigned:
        raise InputError(
            f"the memory assigns {len(memory.assignments)} samples, the files hold {assigned}; "
            "run the cluster stage again"
        )
    prototypes = torch.full((len(table),), -1)
    prototypes[table.has_smpl] = memory.assignments
    return TrainingData.of(table, store, prototypes, sizes)
