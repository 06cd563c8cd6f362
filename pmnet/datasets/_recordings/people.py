"""The bodies that fits learn from: the user's own poses, or families of actions."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import View
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.fitting.prior import FLOOR_RAD, WIDE_FLOOR_RAD, PosePrior, learn_prior

PEOPLE, JITTER_DEG, BETAS_SPREAD = 1500, 8.0, 1.0  # of the families of actions
LARGEST_BETA = 3.0


def prior_and_people(
    poses: Path | None, body: BodyModel, means: Float[Tensor, "k 23 3 3"] | None = None
) -> tuple[PosePrior, BodyParams]:
    """Return the pose prior, and the bodies that it was learnt from: those of a file of samples, or actions.

    `means` are the prototypes that stand for the one mean pose. Raises InputError for too few poses.
    """
    if poses is None:
        view = View(0.0, 0.0, 0.0, 0.0, margin=0.9, margin_spread=0.0, shift=0.0)
        equal = dict.fromkeys(synthetic.FAMILIES, 1.0)
        drawn = synthetic.Options(PEOPLE, equal, JITTER_DEG, BETAS_SPREAD, view, 0)
        people = synthetic.read("fit", Path(), drawn, body).body_params()
    else:
        samples = Samples.load(poses)
        people = samples.body_params(samples.has_smpl.nonzero()[:, 0])
        people = BodyParams(people.rotmats, people.betas.clamp(-LARGEST_BETA, LARGEST_BETA))
    floor = WIDE_FLOOR_RAD if poses is None else FLOOR_RAD
    return learn_prior(people.rotmats[:, 1:], floor, means), people
