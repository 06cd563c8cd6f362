"""The single prototype: how well its heading is defined, and distances to a body that is given."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.body.rotations import moments_of_rotmats
from pmnet.clustering.exact.embedded import BodySource
from pmnet.core.progress import say
from pmnet.memory.spaces import Space

MEASURED: Final = 256  # bodies that are posed at a time
HEADINGS: Final = 100_000  # most samples whose headings are looked at
ILL_DEFINED: Final = 0.05  # a smaller gap of eigenvalues: the mean heading is arbitrary


@torch.no_grad()
def distances_to(centre: BodyParams, bodies: BodySource, space: Space) -> Float[Tensor, "n"]:
    """Return the distance of each body to one centre in a space, on the CPU."""
    point = space.embed(centre)
    starts = range(0, len(bodies), MEASURED)
    parts = (space.embed(bodies[slice(start, start + MEASURED)]) for start in starts)
    return torch.cat([(part - point).norm(dim=1).cpu() for part in parts])


def heading_gap(rotmats: Float[Tensor, "n 3 3"]) -> float:
    """Return the gap between the two largest eigenvalues of the mean of q q^T, from 0 to 1.

    The mean rotation is the eigenvector of the largest one. Where headings are uniform, the two are equal
    and the mean heading is arbitrary: it turns by any angle when a few samples change.
    """
    values = torch.linalg.eigvalsh(moments_of_rotmats(rotmats.double().mean(0)).cpu())
    return float(values[-1] - values[-2])


def warn_of_headings(rotmats: Float[Tensor, "n 3 3"]) -> None:
    """Say so where bodies with these global orientations have no meaningful mean heading."""
    if (gap := heading_gap(rotmats)) < ILL_DEFINED:
        say(
            "the heading of the mean body is ill-defined, since people face all ways (the two largest "
            f"eigenvalues of their mean orientation differ by {gap:.3f}, of 1 at most): distances to the "
            "mean body depend on chance. evaluate.distance: heading_free does not depend on its heading; "
            "cluster.single and evaluate.mean take SPIN's mean body"
        )
