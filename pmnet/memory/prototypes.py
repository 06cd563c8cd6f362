"""The prototype memory and its file: K bodies, their samples, and how the memory was made."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.body.rotations import rotmat_to_rot6d
from pmnet.core.files import replacing
from pmnet.memory.files import VERSION, Iteration, read_memory
from pmnet.memory.spaces import SpaceName

NO_SEED: Final = -1


@dataclass(frozen=True)
class PrototypeMemory:
    """K prototypes (M of the paper) with the assignments and distances of the training samples.

    `camera` (s, tx, ty) is the mean camera of the training samples: regression starts from it.
    `body` is the sha256 of the body model; `settings` are the options that the memory was made with.
    """

    prototypes: BodyParams
    assignments: Int[Tensor, "n"]
    distances: Float[Tensor, "n"]
    vertex_weights: Float[Tensor, "v"] | None
    camera: Float[Tensor, "3"]
    body: str
    history: list[Iteration] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prototypes)

    @property
    def space(self) -> SpaceName:
        """Return the space that the memory was made in."""
        if self.vertex_weights is None:
            return "parameter"
        return "body_pose" if self.settings.get("space") == "body_pose" else "vertex"

    @property
    def clustering_seed(self) -> int:
        """Return the seed that the memory depends on; -1 for one prototype and an imported memory."""
        return NO_SEED if len(self) == 1 else int(self.settings.get("seed", NO_SEED))

    @property
    def sizes(self) -> Int[Tensor, "k"]:
        """Return the number of training samples per prototype."""
        return torch.bincount(self.assignments, minlength=len(self))

    def save(self, path: Path) -> None:
        """Write one .npz file, whole or not at all."""
        header = {
            "version": VERSION,
            "body": self.body,
            "history": [asdict(row) for row in self.history],
            "settings": self.settings,
        }
        arrays = {
            "rotvecs": self.prototypes.rotvecs().numpy(),
            "betas": self.prototypes.betas.numpy(),
            "assignments": self.assignments.numpy(),
            "distances": self.distances.numpy(),
            "camera": self.camera.numpy(),
            "header": np.array(json.dumps(header)),
        }
        if self.vertex_weights is not None:
            arrays["vertex_weights"] = self.vertex_weights.numpy()
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @staticmethod
    def load(path: Path) -> "PrototypeMemory":
        """Return the memory in a file. Raises InputError if the file is missing, damaged or no memory."""
        header, values = read_memory(path)
        arrays = {name: torch.from_numpy(value) for name, value in values.items()}
        return PrototypeMemory(
            prototypes=BodyParams.from_rotvecs(arrays["rotvecs"], arrays["betas"]),
            assignments=arrays["assignments"],
            distances=arrays["distances"],
            vertex_weights=arrays.get("vertex_weights"),
            camera=arrays["camera"],
            body=header.body,
            history=header.history,
            settings=header.settings,
        )

    def export_spin(self, path: Path) -> None:
        """Write the prototypes in the layout of SPIN's smpl_mean_params.npz, K rows instead of one.

        `pmnet.memory.spin.import_spin` reads it.

        `pose` (K, 144) float32, 24 x 6D with interleaved columns; `shape` (K, 10); `cam` (K, 3) with
        (s, tx, ty) as SPIN applies them, s (X + tx). With K = 1 the leading axis is dropped, so that
        SPIN reads the file as it is.
        """
        scale, shift = self.camera[:1], self.camera[1:]
        arrays = {
            "pose": rotmat_to_rot6d(self.prototypes.rotmats).flatten(1).numpy(),
            "shape": self.prototypes.betas.numpy(),
            "cam": torch.cat([scale, shift / scale]).expand(len(self), 3).numpy(),
        }
        if len(self) == 1:
            arrays = {key: value[0] for key, value in arrays.items()}
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
