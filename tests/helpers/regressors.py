"""Regressors and gendered bodies made for the open body: stand-ins for the licensed files."""

from pathlib import Path

import numpy as np

from pmnet.body import OPEN_BODY, read_body, write_body
from pmnet.body.files import with_gender
from pmnet.body.keypoints import H36M
from pmnet.body.parts import JOINTS

NEAR = 40  # vertices that a row is made of
SKELETON = {
    "spine": "spine2",
    "jaw": "head",
    "head": "head",
}  # the others have the skeleton's names


def write_h36m(path: Path, seed: int = 0) -> Path:
    """Write a random J_regressor_h36m.npy: each row mixes vertices around a joint of the skeleton.

    The weights are random, so its joints lie a centimetre or more from those of J24.
    """
    arrays, generator = read_body(OPEN_BODY), np.random.default_rng(seed)
    template = arrays["v_template"]
    joints = arrays["J_regressor"] @ template
    rows = np.zeros((len(H36M), len(template)))
    for row, name in zip(rows, H36M, strict=True):
        at = joints[JOINTS.index(SKELETON.get(name, name))]
        near = np.argsort(np.linalg.norm(template - at, axis=1))[:NEAR]
        row[near] = generator.dirichlet(np.full(NEAR, 0.2))
    np.save(path, rows)
    return path


def gendered_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the open body with a random J_regressor_h36m, a taller man and a smaller woman."""
    arrays = read_body(OPEN_BODY)
    arrays["h36m_regressor"] = np.load(write_h36m(folder / "J_regressor_h36m.npy")).astype(
        np.float32
    )
    for gender, size in (("male", 1.06), ("female", 0.93)):
        own = {**read_body(OPEN_BODY)}
        own["v_template"] = own["v_template"] * np.float32(size)
        write_body(folder / f"{gender}.npz", own)
        arrays = with_gender(arrays, gender, folder / f"{gender}.npz")
    return arrays
