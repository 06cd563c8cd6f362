"""Which prediction is of which sample: by image name, by number of the image, or by position."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Int

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.data.samples import Samples
from pmnet.datasets._shared.joins import image_keys
from pmnet.evaluation.predictions.record import Predictions

IMAGE: Final = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)
SHOWN: Final = 3
NAMES_CURE: Final = (
    "give the names of the rows with `--names FILE`: the npz that was evaluated (key `imgname`, such as "
    "SPIN's 3dpw_test.npz), or a text file with one name per line"
)


@dataclass(frozen=True)
class Join:
    """For each of the samples `rows` the row of its prediction in `found`; `how` they were joined."""

    rows: Int[np.ndarray, "n"]
    found: Int[np.ndarray, "n"]
    how: str

    @property
    def by_position(self) -> bool:
        """Return whether the order of the rows is all that joins them."""
        return self.how != "name"


def join(
    predictions: Predictions, samples: Samples, rows: Int[np.ndarray, "n"], allow_missing: bool
) -> Join:
    """Return the predictions of the samples `rows`; predictions of other images are counted and left.

    Raises InputError where lengths differ without names, where two predictions are of one sample, where
    people of an image cannot be told apart, and where a sample has no prediction, unless `allow_missing`.
    """
    if predictions.image_name is None and predictions.frame is None:
        _check_length(predictions, samples)
        return Join(rows, rows, "position")
    own, theirs = _keys(predictions, samples)
    how = "name" if predictions.frame is None else "number of the image"
    found = _pairs(predictions, samples, rows, own, theirs)
    has = found >= 0
    _say_left(predictions, samples, own, theirs, found)
    if not has.any():
        raise InputError(
            f"{predictions.source}: no prediction is of an image of {samples.about.dataset}: it names "
            f"{_some(theirs)}, the samples {_some(own)}; give the predictions of this data set"
        )
    if not has.all():
        lacking = [samples.image_name[row] for row in rows[~has]]
        message = (
            f"{predictions.source}: {len(lacking)} of {len(rows)} samples of {samples.about.dataset} have no "
            f"prediction ({_some(lacking)})"
        )
        if not allow_missing:
            raise InputError(
                f"{message}; predict them too, since means over fewer samples compare with no other model's, "
                "or leave them out with --allow-missing"
            )
        say(f"{message}; left out: the means are over fewer samples than those of other models")
    return Join(rows[has], found[has], how)


def _check_length(predictions: Predictions, samples: Samples) -> None:
    if len(predictions) != len(samples):
        raise InputError(
            f"{predictions.source}: has {len(predictions)} rows without names, {samples.about.dataset} has "
            f"{len(samples)} samples; rows are joined by position only where both agree: {NAMES_CURE}"
        )


def _keys(predictions: Predictions, samples: Samples) -> tuple[list[str], list[str]]:
    """Return the image of each sample and of each prediction, as keys that are equal for equal images."""
    images = [IMAGE.sub("", name) for name in samples.image_name]
    if predictions.image_name is not None:
        return image_keys(images, [IMAGE.sub("", name) for name in predictions.image_name])
    frames, order = predictions.frame, list(dict.fromkeys(images))
    assert frames is not None
    wrong = (frames < 0) | (frames >= len(order))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{predictions.source}: row {row} is of frame {int(frames[row])}, but "
            f"{samples.about.dataset} has {len(order)} images; {NAMES_CURE}"
        )
    return images, [order[frame] for frame in frames]


def _pairs(
    predictions: Predictions,
    samples: Samples,
    rows: Int[np.ndarray, "n"],
    own: Sequence[str],
    theirs: Sequence[str],
) -> Int[np.ndarray, "n"]:
    """Return the prediction of each of `rows`, -1 where there is none.

    One sample and one prediction of an image belong together, whatever `person` and `box` say: systems
    number the people of each image anew.
    """
    images = pd.DataFrame({"image": own, "sample": np.arange(len(own))})
    found = pd.DataFrame({"image": theirs, "row": np.arange(len(theirs))})
    people, guesses = (table["image"].value_counts() for table in (images, found))
    pairs = images.merge(found, on="image")
    several = (pairs["image"].map(people) > 1) | (pairs["image"].map(guesses) > 1)
    at = np.full(len(own), -1)
    alone = pairs[~several]
    at[alone["sample"]] = alone["row"]
    if several.any():
        matched = _of_several(predictions, samples, pairs[several])
        at[matched["sample"]] = matched["row"]
    return at[rows]


def _of_several(predictions: Predictions, samples: Samples, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of people in images with several samples or several predictions."""
    subjects = [samples.subject[sample] for sample in pairs["sample"]]
    if predictions.person is not None:
        people = [predictions.person[row] for row in pairs["row"]]
        same = [
            name in (subject, subject.rpartition("/")[2])
            for name, subject in zip(people, subjects, strict=True)
        ]
        if any(same):
            matched = pairs[np.array(same)]
            _refuse_twice(predictions, matched)
            return matched
    if predictions.box is not None:
        return _nearest(predictions, samples, pairs)
    first = pairs.iloc[0]
    rows = pairs[pairs["image"] == first["image"]]
    raise InputError(
        f"{predictions.source}: row {int(first['row'])} ({first['image']}): the image has "
        f"{rows['sample'].nunique()} samples and {rows['row'].nunique()} predictions, and so have "
        f"{pairs['image'].nunique()} images in all; say who is who by `person` (such as "
        f"{samples.subject[int(first['sample'])]}) or by `box` (x0, y0, x1, y1 in px), or give each sample "
        "one prediction"
    )


def _refuse_twice(predictions: Predictions, pairs: pd.DataFrame) -> None:
    twice = pairs[pairs.duplicated("sample", keep=False)]
    if len(twice):
        rows = twice[twice["sample"] == twice["sample"].iloc[0]]["row"].tolist()
        raise InputError(
            f"{predictions.source}: rows {rows[0]} and {rows[1]} are of the same person in "
            f"{twice['image'].iloc[0]}; keep one of them"
        )


def _nearest(predictions: Predictions, samples: Samples, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of a sample and the prediction with the nearest box, each in one pair at most."""
    box = predictions.box
    assert box is not None
    at, row = pairs["sample"].to_numpy(), pairs["row"].to_numpy()
    centre = (box[row, :2] + box[row, 2:]) / 2
    far = np.linalg.norm(centre - samples.center.numpy()[at], axis=1)
    near = pairs.assign(far=far)[far <= samples.scale.numpy()[at] * BOX_PX / 2]
    near = near.sort_values(["far", "sample", "row"])
    kept = [near.iloc[:0]]
    # greedy matching takes a pair that is the nearest both for its sample and for its prediction
    while len(near):
        mutual = ~near.duplicated("sample") & ~near.duplicated("row")
        first = near[mutual]
        kept.append(first)
        near = near[~near["sample"].isin(first["sample"]) & ~near["row"].isin(first["row"])]
    return pd.concat(kept)


def _say_left(
    predictions: Predictions,
    samples: Samples,
    own: Sequence[str],
    theirs: Sequence[str],
    found: Int[np.ndarray, "n"],
) -> None:
    """Print how many predictions are of other images, and how many of people who are no samples."""
    known = set(own)
    other = sum(key not in known for key in theirs)
    if other:
        say(
            f"{predictions.source}: {other} of {len(theirs)} predictions are of images that are no samples "
            f"of {samples.about.dataset}; left out"
        )
    if unmatched := len(theirs) - other - int((found >= 0).sum()):
        say(
            f"{predictions.source}: {unmatched} predictions are of people who are not measured; left out"
        )


def _some(names: Sequence[str]) -> str:
    first = list(dict.fromkeys(names))[:SHOWN]
    return ", ".join(first) + ", ..." * (len(set(names)) > SHOWN)
