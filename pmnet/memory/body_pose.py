"""The space of bodies that all face the same way: what they do, not where they look or which way is up."""

import torch

from pmnet.body import BodyParams
from pmnet.memory.space import VertexSpace


class BodyPoseSpace(VertexSpace):
    """Weighted vertices without the global orientation: a control for the paper's distance.

    The mean body of a group has the mean global orientation of its members, however they are turned.
    """

    def seen(self, params: BodyParams) -> BodyParams:
        """Return the bodies unturned."""
        rotmats = params.rotmats.clone()
        rotmats[:, 0] = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
        return BodyParams(rotmats, params.betas)
