"""A memory in the layouts of other people's code."""

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.memory.prototypes import PrototypeMemory

Layout = Literal["spin", "spin-stack", "npz"]
LAYOUTS: Final = "spin (one body), spin-stack (K bodies) or npz"


def export_memory(
    memory: PrototypeMemory, layout: Layout, path: Path, prototype: int | None = None
) -> int:
    """Write a memory for other code, and return how many bodies were written.

    - `spin`: one body as SPIN's smpl_mean_params.npz (`pose` (144), `shape` (10), `cam` (3)), which any code
      after SPIN reads as it is: the only one, or the one that `prototype` names;
    - `spin-stack`: the same with K rows, in the order of the memory;
    - `npz`: `pose` (K, 72) axis-angle, `betas` (K, 10), `camera` (3) as s (X + t), `count` (K) of training
      samples, and `body`, the sha256 of the body model.

    Raises InputError where `prototype` is missing or not in the memory.
    """
    if prototype is not None and not 0 <= prototype < len(memory):
        raise InputError(f"--prototype {prototype}: expected 0 to {len(memory) - 1}")
    if layout == "spin" and prototype is None and len(memory) > 1:
        raise InputError(
            f"the memory holds {len(memory)} prototypes, and SPIN's file one: give --prototype N (the most "
            f"common is {int(memory.sizes.argmax())}), or --to spin-stack"
        )
    if prototype is not None:
        memory = _only(memory, prototype)
    if layout == "npz":
        _write_npz(memory, path)
    else:
        memory.export_spin(path)
    return len(memory)


def _only(memory: PrototypeMemory, prototype: int) -> PrototypeMemory:
    mine = memory.assignments == prototype
    return replace(
        memory,
        prototypes=memory.prototypes[slice(prototype, prototype + 1)],
        assignments=torch.zeros(int(mine.sum()), dtype=torch.long),
        distances=memory.distances[mine],
    )


def _write_npz(memory: PrototypeMemory, path: Path) -> None:
    scale, shift = memory.camera[:1], memory.camera[1:]
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(
            stream,
            pose=memory.prototypes.rotvecs().reshape(-1, 72).numpy(),
            betas=memory.prototypes.betas.numpy(),
            camera=torch.cat([scale, shift / scale]).numpy(),
            count=memory.sizes.numpy(),
            body=np.array(memory.body),
        )
