"""Redraws of what errors vary with: training seeds within clustering seeds, clips within subjects.

Both are groups with units, and both are redrawn from the top: groups with replacement, then units with
replacement within each drawn group (a hierarchical bootstrap). A draw is kept as the number of times that
each unit is in it, so that the means of all draws are matrix products.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLOCK: Final = 2_000_000  # units drawn at a time
MOST_CLIPS: Final = 2000
SMALL: Final = 3_000_000  # counts that are kept as floats: no conversion before each product
CACHED: Final = 32  # redraws that are kept: the same subsets are asked for again and again


@dataclass(frozen=True)
class Clips:
    """The clip of each sample, and the subject of each clip, both numbered from 0."""

    of_sample: Int[np.ndarray, "samples"]
    subjects: Int[np.ndarray, "clips"]

    @staticmethod
    def of(samples: pd.DataFrame) -> "Clips":
        """Return the clips of samples with the columns `dataset`, `subject` and `sequence`.

        Subjects that are in one clip together (two people of 3DPW) count as one subject, because their
        errors are not independent.
        """
        clips, people = (
            samples.groupby(["dataset", name], sort=False).ngroup().to_numpy()
            for name in ("sequence", "subject")
        )
        n_clips, n_people = (codes.max(initial=-1) + 1 for codes in (clips, people))
        ends = clips, people + n_clips
        size = n_clips + n_people
        graph = coo_array((np.ones(len(clips)), ends), shape=(size, size))
        return Clips(clips, connected_components(graph, directed=False)[1][:n_clips])

    def part(self, where: Bool[np.ndarray, "samples"]) -> "Clips":
        """Return the clips of some of the samples."""
        kept, of_sample = np.unique(self.of_sample[where], return_inverse=True)
        return Clips(of_sample, np.unique(self.subjects[kept], return_inverse=True)[1])

    def alone(self) -> "Clips":
        """Return the clips as if all were of one subject."""
        return Clips(self.of_sample, np.zeros_like(self.subjects))

    def at_most(self, most: int) -> "Clips":
        """Return about `most` clips: of more than these, clips of the same subject are joined.

        Where each image is a clip of its own, there are too many to redraw one by one; where it shows a
        subject of its own too, subjects are joined.
        """
        if len(self.subjects) <= most:
            return self
        sizes = np.bincount(self.subjects)
        if len(sizes) > most:
            return Clips((self.subjects % most)[self.of_sample], np.arange(most))
        order = np.argsort(self.subjects, kind="stable")
        within = np.empty_like(order)  # the number of each clip within its subject
        within[order] = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
        share = np.maximum(sizes * most // len(order), 1)[self.subjects]
        pairs = np.stack([self.subjects, within % share])
        joined, to = np.unique(pairs, axis=1, return_inverse=True)
        return Clips(to[self.of_sample], joined[0])

    @property
    def subject_of_sample(self) -> Int[np.ndarray, "samples"]:
        """Return the subject of each sample."""
        subjects: np.ndarray = self.subjects[self.of_sample]
        return subjects


def redraws(
    groups: Int[np.ndarray, "units"], draws: int, seed: tuple[int, int]
) -> Real[np.ndarray, "units draws"]:
    """Return how often each unit is in each draw; `groups` has the group of each unit, from 0.

    A draw has as many groups as there are and, for each group in it, as many units as that group has.
    A single group is in every draw, and so is the single unit of a group for each time that this group is
    drawn: what has nothing to vary is not redrawn.
    """
    return _redraws(tuple(groups.tolist()), draws, seed)


def shares(
    groups: Int[np.ndarray, "units"], draws: int, seed: tuple[int, int]
) -> Float[np.ndarray, "units draws"]:
    """Return the share of each unit in each draw of `redraws`."""
    return _shares(tuple(groups.tolist()), draws, seed)


@lru_cache(maxsize=CACHED)
def _shares(groups: tuple[int, ...], draws: int, seed: tuple[int, int]) -> np.ndarray:
    counts = _redraws(groups, draws, seed)
    of_draw: np.ndarray = counts / counts.sum(0)
    return of_draw


@lru_cache(maxsize=CACHED)
def _redraws(groups: tuple[int, ...], draws: int, seed: tuple[int, int]) -> np.ndarray:
    generator, group_of = np.random.default_rng(seed), np.array(groups)
    order, sizes = np.argsort(group_of, kind="stable"), np.bincount(group_of)
    units, first = len(group_of), sizes.cumsum() - sizes
    step = max(1, BLOCK // units)
    counts = np.empty((units, draws), float if units * draws <= SMALL else np.uint16)
    for start in range(0, draws, step):
        here = counts[:, start : start + step]
        drawn = generator.integers(len(sizes), size=(here.shape[1], len(sizes)))
        times = sizes[drawn]
        group = np.repeat(drawn.ravel(), times.ravel())
        unit = first[group] + (generator.random(len(group)) * sizes[group]).astype(np.int64)
        place = np.repeat(np.arange(len(drawn)), times.sum(1)) * units + order[unit]
        here[:] = np.bincount(place, minlength=here.size).reshape(len(drawn), units).T
    return counts
