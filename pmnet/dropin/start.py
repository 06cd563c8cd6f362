"""Prototypes in front of any regressor: where to start, and a loss that teaches which start is right."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pmnet.body.rotations import rotmat_to_rot6d
from pmnet.memory.prototypes import PrototypeMemory

NO_PROTOTYPE = -1


class Start(NamedTuple):
    """Where a regressor starts: pose (24 x 6D, columns interleaved as in SPIN), betas, camera (s, tx, ty).

    `loss` is the cross entropy of the prototypes (0 without labels), `prototype` the row of the memory.
    """

    pose: Float[Tensor, "b 144"]
    betas: Float[Tensor, "b 10"]
    camera: Float[Tensor, "b 3"]
    loss: Float[Tensor, ""]
    prototype: Int[Tensor, "b"]


class PrototypeStart(nn.Module):
    """Classifies features to a prototype, which replaces the mean body where a regressor starts.

    In training, give the nearest prototype of each true body (`PrototypeMemory.assignments`, or
    `pmnet.nearest_prototypes`; -1: not known): the regressor starts there, and `loss` trains the classifier.
    Without it, the start is the prototype of the highest score (PM-Net's hard selection, Fig. 2). Only the
    classifier has weights; the prototypes are buffers. The camera is as SPIN and HMR apply it, s (X + t).
    """

    pose: Tensor
    betas: Tensor
    camera: Tensor

    def __init__(self, memory: PrototypeMemory, features: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(features, len(memory))
        scale, shift = memory.camera[:1], memory.camera[1:]
        self.register_buffer("pose", rotmat_to_rot6d(memory.prototypes.rotmats).flatten(1))
        self.register_buffer("betas", memory.prototypes.betas.clone())
        self.register_buffer("camera", torch.cat([scale, shift / scale]))

    def forward(
        self, features: Float[Tensor, "b f"], nearest: Int[Tensor, "b"] | None = None
    ) -> Start:
        """Return the start of each row of features, and the loss of the classifier."""
        scores, loss = self.classifier(features), features.new_zeros(())
        rows = scores.argmax(1)
        if nearest is not None and (known := nearest != NO_PROTOTYPE).any():
            loss = cross_entropy(scores, nearest, ignore_index=NO_PROTOTYPE)
            rows = torch.where(known, nearest, rows)
        camera = self.camera.expand(len(rows), 3)
        return Start(self.pose[rows], self.betas[rows], camera, loss, rows)
