"""How dense training bodies lie around each test body: far from the mean and rare are two things."""

from pathlib import Path
from typing import Final

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import track
from pmnet.data.samples import Samples, load_all
from pmnet.data.sets import samples_of
from pmnet.evaluation.error_table import KEY, NEIGHBOUR

NEIGHBOURS: Final = 10
BLOCK: Final = 256  # test bodies at a time


def write_density(test: Path, train: Path, body: BodyModel, out: Path) -> pd.DataFrame:
    """Write `density` of all test sets of a list of data sets; return the table.

    Columns: data set, sample, neighbour_mm (float32). Samples without a body have no row. Raises InputError,
    naming the file, for lists and samples that are missing, broken or of another body model, and where
    training has fewer than NEIGHBOURS bodies.
    """
    known = torch.cat([_points(own, body) for own in load_all(samples_of(train), body)])
    if len(known) < NEIGHBOURS:
        raise InputError(
            f"{train}: has {len(known)} bodies, fewer than {NEIGHBOURS} neighbours; add training sets"
        )
    parts = []
    for samples in load_all(samples_of(test), body):
        found = density(_points(samples, body), known).numpy()
        rows = samples.has_smpl.nonzero()[:, 0].numpy()
        names = [samples.about.dataset] * len(rows)
        parts.append(pd.DataFrame(dict(zip((*KEY, NEIGHBOUR), (names, rows, found), strict=True))))
    table = pd.concat(parts, ignore_index=True)
    with replacing(out) as partial:
        table.to_parquet(partial, compression="zstd", index=False)
    return table


def density(points: Float[Tensor, "n 72"], known: Float[Tensor, "m 72"]) -> Float[Tensor, "n"]:
    """Return the distance (mm) of each body to its NEIGHBOURS-th nearest known body.

    The distance is the root mean square over 24 joints (m), relative to the pelvis, in the camera frame:
    a body that faces another way is another body, as it is for the prototypes.
    """
    squares = (known * known).sum(1)
    found = [
        ((part * part).sum(1)[:, None] + squares - 2 * part @ known.T)
        .topk(NEIGHBOURS, largest=False)
        .values[:, -1]
        for part in track(points.split(BLOCK), "looking for neighbours")
    ]
    return 1000 * (torch.cat(found).clamp(min=0) / 24).sqrt()


def _points(samples: Samples, body: BodyModel) -> Float[Tensor, "n 72"]:
    """Return the joints of the samples that have bodies, relative to the pelvis (m)."""
    joints = body.joints(samples.body_params(samples.has_smpl.nonzero()[:, 0]))
    return (joints - joints[:, :1]).flatten(1)
