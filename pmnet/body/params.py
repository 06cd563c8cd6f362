"""The parameters of a batch of bodies: the paper's phi."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body.rotations import rotmat_to_rotvec, rotvec_to_rotmat


@dataclass(frozen=True)
class BodyParams:
    """Pose and shape of B bodies (phi of the paper).

    `rotmats` holds the 24 joint rotations relative to the parent joint; the first is the global
    orientation. `betas` are in standard deviations.
    """

    rotmats: Float[Tensor, "b 24 3 3"]
    betas: Float[Tensor, "b 10"]

    def __len__(self) -> int:
        return len(self.betas)

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "BodyParams":
        return BodyParams(self.rotmats[rows], self.betas[rows])

    def to(self, device: torch.device | torch.dtype) -> "BodyParams":
        """Return a copy on another device or in another precision."""
        return BodyParams(self.rotmats.to(device), self.betas.to(device))

    def rotvecs(self) -> Float[Tensor, "b 24 3"]:
        """Return the joint rotations as rotation vectors (rad), as stored on disk."""
        return rotmat_to_rotvec(self.rotmats)

    @staticmethod
    def from_rotvecs(
        rotvecs: Float[Tensor, "b 24 3"], betas: Float[Tensor, "b 10"]
    ) -> "BodyParams":
        """Return bodies from rotation vectors (rad), as stored on disk."""
        return BodyParams(rotvec_to_rotmat(rotvecs), betas)

    @staticmethod
    def cat(parts: "list[BodyParams]") -> "BodyParams":
        """Return the bodies of all parts, in order."""
        return BodyParams(
            torch.cat([part.rotmats for part in parts]), torch.cat([part.betas for part in parts])
        )
