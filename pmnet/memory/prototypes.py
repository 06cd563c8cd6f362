"""The prototype memory on disk: K bodies, who belongs to them, and how they were found."""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.errors import InputError
from pmnet.files import replacing
from pmnet.memory.kmeans import Clustering, Iteration
from pmnet.rotations import rotmat_to_rot6d

VERSION: Final = 1
BROKEN: Final = (zipfile.BadZipFile, zlib.error)  # what a damaged archive raises


@dataclass(frozen=True)
class PrototypeMemory:
    """K prototypes (M of the paper) with the assignments and distances of the training samples.

    `camera` (s, tx, ty) is the mean camera of the training samples: regression starts from it.
    `body` is the sha256 of the body model; `settings` says how the memory was made.
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
    def sizes(self) -> Int[Tensor, "k"]:
        """Return how many training samples each prototype has."""
        return torch.bincount(self.assignments, minlength=len(self))

    @staticmethod
    def of(
        clustering: Clustering,
        vertex_weights: Tensor | None,
        camera: Tensor,
        body: str,
        settings: dict[str, Any],
    ) -> "PrototypeMemory":
        """Return the memory that a clustering found."""
        c = clustering
        parts = c.centres, c.assignments, c.distances
        return PrototypeMemory(*parts, vertex_weights, camera, body, c.history, settings)

    def save(self, path: Path) -> None:
        """Write one npz, whole or not at all."""
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
        """Return the memory in a file; raises InputError where it is missing, broken or no memory."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                values = {key: archive[key] for key in archive.files}
            header = json.loads(str(values["header"]))
            if header["version"] != VERSION:
                raise ValueError(f"it is of version {header['version']}; cluster again")
            arrays = {k: torch.from_numpy(v) for k, v in values.items() if k != "header"}
            return PrototypeMemory(
                prototypes=BodyParams.from_rotvecs(arrays["rotvecs"], arrays["betas"]),
                assignments=arrays["assignments"],
                distances=arrays["distances"],
                vertex_weights=arrays.get("vertex_weights"),
                camera=arrays["camera"],
                body=header["body"],
                history=[Iteration(**row) for row in header["history"]],
                settings=header["settings"],
            )
        except FileNotFoundError:
            raise InputError(f"{path}: no such prototype memory; run the cluster stage") from None
        except (KeyError, TypeError, ValueError, OSError, EOFError, *BROKEN) as error:
            raise InputError(f"{path}: not a prototype memory ({error})") from None

    def export_spin(self, path: Path) -> None:
        """Write the prototypes in the layout of SPIN's smpl_mean_params.npz, K rows instead of one.

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
