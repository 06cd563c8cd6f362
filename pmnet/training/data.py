"""What a network is trained on: images with their ground truth, and who is drawn how often."""

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

BINS: Final = 20  # of the distance of the joints to the mean joints
RAREST: Final = 20.0  # a sample is drawn at most so many times as often as the average


@dataclass(frozen=True)
class TrainingData:
    """Training images with their ground truth, in the order of the samples.

    `sizes` says how many samples come from each data set, in order; samples whose image is not
    present are never drawn.
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
        """Return samples with their images and their prototypes (-1: not assigned)."""
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
        """Yield the rows of the steps from `first` on; raises InputError for a mix that cannot be."""
        present = self.images.present
        usable = present.nonzero()[:, 0]
        if not len(usable):
            raise InputError(
                "no training sample has an image; look where the images stage found none"
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
        """Return how often each sample is drawn, 1 being the average; None: all alike."""
        known, kinds = self.targets.has_smpl, self.targets.prototype
        if options.balance.sampling == "uniform":
            return None
        if options.balance.sampling == "distance":
            known, kinds = self._distance_bins()
        weights = torch.ones(len(self))
        weights[known] = inverse_frequency(kinds[known]).clamp_max(RAREST)
        return weights

    def _distance_bins(self) -> tuple[Bool[Tensor, "n"], Int[Tensor, "n"]]:
        """Return who has all 3D joints, and in which of BINS their distance to the mean joints is."""
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
    """Return the images of files as they were at a time: several trainings of a process share them."""
    return ImageStore([Pixels(path) for path, _ in files])


def load_training_data(
    samples: list[Path], images: list[Path], memory: PrototypeMemory, body: BodyModel
) -> TrainingData:
    """Return all samples with their images, checked to belong together.

    The memory's assignments are those of the samples with SMPL, in order; the others have none.
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
