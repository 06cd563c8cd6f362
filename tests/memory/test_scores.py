"""Bounds of scores hold, and what they call alone is the nearest."""

import pytest
import torch

from pmnet.memory.scores import Scores, factor
from pmnet.memory.space import Bounds


def bounds(points: torch.Tensor, residual: float) -> Bounds:
    """Return the bounds of points whose coordinates leave out a part of this length."""
    nothing = torch.zeros(len(points))
    return Bounds(nothing + residual, nothing, points.square().sum(1) + residual**2)


@pytest.mark.parametrize("k", [1, 2, 50, 130])
@pytest.mark.parametrize("residual", [0.0, 0.3])
def test_bounds_hold_and_who_is_alone_is_nearest(k, residual):
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(300, 20, generator=generator)
    c = torch.cat([torch.randn(k - k // 2, 20, generator=generator), x[: k // 2]])
    scores, bodies = Scores(c, bounds(c, residual)), factor(x, bounds(x, residual))
    found, body, rival = scores.rivals(bodies)
    exact = (x.double()[:, None] - c.double()[None]).square().sum(2)
    exact += residual**2 - x.double().square().sum(1, keepdim=True)
    slack = 2 * residual**2
    own = exact.gather(1, found.centre[:, None])[:, 0]
    assert (found.low <= own - slack).all() and (found.low + found.width >= own + slack).all()
    others = exact.scatter(1, found.centre[:, None], torch.inf)
    assert (others.amin(1) - slack > own + slack)[found.alone].all()
    assert found.alone.double().mean() > 0.5
    # who is not alone comes with all that may be nearer, sorted by body
    may = (others - slack <= own[:, None] + slack) & ~found.alone[:, None]
    assert (body.diff() >= 0).all()
    given = torch.zeros_like(may).index_put_((body, rival), torch.tensor(True))
    assert (given | ~may).all() and not given[found.alone].any()


def test_copies_of_a_centre_are_never_alone():
    # at the origin no rounding hides that they are equal
    centres, x = torch.zeros(5, 4), torch.zeros(3, 4)
    found, body, rival = Scores(centres, bounds(centres, 0.0)).rivals(factor(x, bounds(x, 0.0)))
    assert not found.alone.any() and found.centre.tolist() == [0, 0, 0]
    assert body.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and rival.tolist() == [1, 2, 3, 4] * 3
