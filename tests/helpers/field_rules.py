"""The evaluations of SPIN, PyMAF and Balanced MSE, written anew in NumPy from their descriptions.

Nothing of pmnet's evaluation, skinning or joint orders is used: joints are numbers here, as in SPIN. Metres
in, millimetres out, float64 throughout.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

# SPIN's constants.py, by number
H36M_TO_J17 = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9]
J24_TO_J17 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 14, 16, 17]
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]

Arrays = Mapping[str, np.ndarray]


def smpl(arrays: Arrays, rotations: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Return the vertices (N, V, 3) of SMPL: shape, pose blend shapes, linear blend skinning.

    `rotations` are (N, 24, 3, 3) relative to the parent.
    """
    a = {key: np.asarray(values, float) for key, values in arrays.items()}
    return np.stack([_body(a, *one) for one in zip(rotations, betas, strict=True)])


def _body(a: Arrays, rotations: np.ndarray, betas: np.ndarray) -> np.ndarray:
    shaped = a["v_template"] + a["shapedirs"] @ betas
    rest = a["J_regressor"] @ shaped
    posed = shaped + a["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(PARENTS):
        own = np.eye(4)
        own[:3, :3] = rotations[joint]
        own[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world.append(own if parent < 0 else world[parent] @ own)
    for joint, transform in enumerate(world):
        transform[:3, 3] -= transform[:3, :3] @ rest[joint]
    each = np.einsum("vj,jab->vab", a["weights"], np.stack(world))
    return np.einsum("vab,vb->va", each[:, :3, :3], posed) + each[:, :3, 3]


def gendered(arrays: Arrays, gender: str) -> dict[str, np.ndarray]:
    """Return the arrays of a gender, of which the body file has all that differs."""
    own = {key.removeprefix(f"{gender}_"): a for key, a in arrays.items() if key.startswith(gender)}
    return {**arrays, **own}


def mean_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1000 * np.sqrt(((a - b) ** 2).sum(-1)).mean(-1)


def procrustes(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return predictions (N, P, 3) after the best scale, turn and shift: SciPy finds the turn."""
    fitted = []
    for p, t in zip(pred, true, strict=True):
        p0, t0 = p - p.mean(0), t - t.mean(0)
        turn = Rotation.align_vectors(t0, p0)[0].as_matrix()
        turned = p0 @ turn.T
        scale = (turned * t0).sum() / (turned**2).sum()
        fitted.append(scale * turned + t.mean(0))
    return np.stack(fitted)


def spin_joints(vertices: np.ndarray, regressor: np.ndarray, count: int) -> np.ndarray:
    """Return the 14 or 17 joints of SPIN's eval.py from vertices, relative to row 0 of the regressor."""
    joints = np.einsum("jv,nvc->njc", np.asarray(regressor, float), vertices)
    return joints[:, H36M_TO_J17[:count]] - joints[:, :1]


def joint_errors(pred: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Return MPJPE and PA-MPJPE of each sample."""
    return {
        "mpjpe_mm": mean_gap(pred, true),
        "pa_mpjpe_mm": mean_gap(procrustes(pred, true), true),
    }


def pck_and_auc(pred: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return PCK at 150 mm and AUC over 0, 5, ..., 150 mm (per cent) of all joints pooled."""
    gaps = 1000 * np.linalg.norm(pred - true, axis=-1).ravel()
    shares = [100 * float((gaps < limit).mean()) for limit in range(0, 151, 5)]
    return 100 * float((gaps < 150).mean()), float(np.mean(shares))


def ihmr(distances: np.ndarray, errors: np.ndarray) -> dict[str, float]:
    """Return the balanced mean ("all") and the tails of Balanced MSE's benchmark."""
    order = list(np.argsort(distances))[::-1]
    tails = {
        f"tail_{x}": float(np.mean([errors[i] for i in order[: int(len(order) * x / 100)]]))
        for x in (10, 5)
    }
    low, width = min(distances), (max(distances) - min(distances)) / 100
    bins: list[list[float]] = [[] for _ in range(100)]
    for distance, error in zip(distances, errors, strict=True):
        bins[int((distance - low) / width - 0.001)].append(error)
    return {"all": float(np.mean([np.mean(b) for b in bins if b])), **tails}
