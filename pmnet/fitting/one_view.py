"""Bodies of a prediction or fit, brought closer to 2D joints in one image, as in SMPLify (Bogo et al. 2016).

One view leaves depth open, so the prediction is held: each joint keeps to it as a Gaussian of `hold_rad`
around its predicted rotation, beside the limits of joints.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import fit_camera, project
from pmnet.fitting.observations import Pixels
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.solver import Fit, Placed, Solver
from pmnet.fitting.subject import in_chunks, joined

HOLD_RAD: Final = 0.25  # of a joint around its predicted rotation
# a camera this far away is a weak-perspective one to 0.1 %
FAR_M: Final = 500.0
FEWEST_SEEN: Final = 3  # joints that a camera is fitted to


@dataclass(frozen=True)
class ImageFit:
    """B refined bodies; `placed` stands in the frame of the camera.

    `camera` is the weak-perspective camera (px per m, px, px) of the bodies without `translation` that is
    closest to the joints, NaN where there is a full one. `start_px` and `reprojection_px` are the distances
    of the joints from their pixels before and after, NaN where a joint is not seen. `fitted` are the bodies
    with three joints or more; the others are as they were.
    """

    placed: Placed
    camera: Float[Tensor, "b 3"]
    start_px: Float[Tensor, "b m"]
    reprojection_px: Float[Tensor, "b m"]
    converged: Bool[Tensor, "b"]
    fitted: Bool[Tensor, "b"]


def fit_image(
    start: BodyParams,
    pixels: Float[Tensor, "b m 2"],
    confidence: Float[Tensor, "b m"],
    body: BodyModel,
    points: BodyPoints,
    prior: PosePrior,
    options: FitOptions,
    inside: Float[Tensor, "b 3 3"] | None = None,
    hold_rad: float = HOLD_RAD,
) -> ImageFit:
    """Return bodies closer to 2D joints (px; a confidence of 0: not seen).

    `start` is in the frame of the camera: x right, y down, z away. `inside` are the matrices K of full
    cameras; None: weak perspective. The shape stays: one image does not tell it from the distance.
    """
    weights = torch.where(torch.isfinite(pixels).all(2), confidence, 0).clamp(min=0).to(pixels)
    pixels = torch.where(weights[..., None] > 0, pixels, 0)
    fitted = (weights > 0).sum(1) >= FEWEST_SEEN
    weights = weights * fitted[:, None]
    posed = points.posed(body, start)
    if inside is None:
        camera = fit_camera(posed, pixels, weights)
        camera = torch.where(fitted[:, None], camera, camera.new_tensor([1.0, 0.0, 0.0]))
        matrices, shift = _far_cameras(camera)
    else:
        matrices, shift = inside, _standing(posed, pixels, weights, inside)
    shift = torch.where(fitted[:, None], shift, shift.new_tensor([0.0, 0.0, FAR_M]))
    flat = torch.cat([matrices, torch.zeros_like(matrices[..., :1])], 2)[:, None]
    information = 1 / options.noise_px**2
    seen = Pixels(pixels[:, None], weights[:, None], flat, information, options.robust_px)
    eye = torch.eye(len(prior.precision)).to(prior.precision)
    solver = Solver(body, points, replace(prior, precision=eye / hold_rad**2), options)
    begun = Placed(start, shift)
    fit = _solved(solver, begun, seen)
    kept = torch.where(fitted[:, None, None, None], fit.placed.params.rotmats, start.rotmats)
    placed = Placed(BodyParams(kept, start.betas), fit.placed.translation)
    before = _errors(posed, shift, seen, weights, inside is None)[1]
    after_posed = points.posed(body, placed.params)
    camera, after = _errors(after_posed, placed.translation, seen, weights, inside is None)
    return ImageFit(placed, camera, before, after, fit.converged & fitted, fitted)


def _solved(solver: Solver, begun: Placed, seen: Pixels) -> Fit:
    means = begun.params.rotmats[:, 1:]
    parts = in_chunks(
        len(begun),
        means.device,
        lambda rows: solver.solve(
            begun[rows], seen.select(rows), fit_shape=False, means=means[rows]
        ),
    )
    return joined(parts)


def _errors(
    posed: Float[Tensor, "b m 3"],
    shift: Float[Tensor, "b 3"],
    seen: Pixels,
    weights: Float[Tensor, "b m"],
    is_weak: bool,
) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b m"]]:
    """Return the best weak-perspective cameras and the distances in px."""
    targets = seen.targets[:, 0]
    if is_weak:
        camera = fit_camera(posed, targets, weights)
        drawn = project(posed, camera)
    else:
        camera = torch.full_like(posed[:, 0], torch.nan)
        drawn = seen.project(posed + shift[:, None])[0][:, 0]
    return camera, torch.where(weights > 0, (drawn - targets).norm(dim=2), torch.nan)


def _far_cameras(
    camera: Float[Tensor, "b 3"],
) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
    """Return matrices K of cameras FAR_M away that see what weak-perspective ones do, and translations."""
    scale = camera[:, 0].abs().clamp(min=1e-6)
    matrices = torch.eye(3).to(camera).repeat(len(camera), 1, 1)
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale * FAR_M
    matrices[:, :2, 2] = camera[:, 1:]
    shift = torch.zeros_like(camera)
    shift[:, 2] = FAR_M
    return matrices, shift


def _standing(
    posed: Float[Tensor, "b m 3"],
    pixels: Float[Tensor, "b m 2"],
    weights: Float[Tensor, "b m"],
    inside: Float[Tensor, "b 3 3"],
) -> Float[Tensor, "b 3"]:
    """Return the translations (m) that bring points closest to pixels: x + t_x = a (z + t_z), and for y."""
    ones = torch.ones_like(pixels[..., :1])
    a = (torch.cat([pixels, ones], 2) @ torch.linalg.inv(inside).mT)[..., :2]
    rows = torch.zeros(*a.shape, 3).to(a)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -a
    right = a * posed[..., 2:] - posed[..., :2]
    matrix = torch.einsum("bm,bmki,bmkj->bij", weights, rows, rows)
    vector = torch.einsum("bm,bmki,bmk->bi", weights, rows, right)
    eye = 1e-6 * torch.eye(3).to(matrix)
    shift = torch.linalg.solve(matrix + eye, vector[..., None])[..., 0]
    # in front of the camera, whatever the joints say
    shift[:, 2] = shift[:, 2].clamp(min=0.5)
    return shift
