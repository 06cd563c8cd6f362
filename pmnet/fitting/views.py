"""The bodies of one subject from its joints in several calibrated cameras.

The joints are triangulated, without views that the others contradict; bodies are fitted to these points; and
the same solver then brings shape and poses closest to the pixels themselves.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.fitting.cameras import Cameras
from pmnet.fitting.observations import Pixels
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.solver import Fit, Placed, Solver
from pmnet.fitting.subject import (
    SubjectFit,
    SubjectFitter,
    in_chunks,
    joined,
    measured_uncertainty,
    varied_frames,
)
from pmnet.fitting.triangulation import Triangulated, triangulate
from pmnet.fitting.uncertainty import JointUncertainty
from pmnet.formats.trajectories import LARGEST_M, SMALLEST_M


@dataclass(frozen=True)
class ViewsFit:
    """T fitted frames of one subject in V cameras.

    `subject` is the fit, in the world of the calibration: its residuals (m) are distances from the
    triangulated points, NaN where fewer than two views agree. `used` are the views that count.
    `reprojection_px` are the distances of the fitted points from their pixels, NaN where a view does not see
    a point; views that do not count have theirs too.
    """

    subject: SubjectFit
    triangulated: Triangulated
    used: Bool[Tensor, "t v m"]
    reprojection_px: Float[Tensor, "t v m"]

    def used_px(self) -> Float[Tensor, "m"]:
        """Return the mean reprojection error (px) per point, over the views that count; NaN without one."""
        return torch.where(self.used, self.reprojection_px, torch.nan).nanmean((0, 1))


def fit_views(
    pixels: Float[Tensor, "t v m 2"],
    confidence: Float[Tensor, "t v m"],
    cameras: Cameras,
    body: BodyModel,
    points: BodyPoints,
    prior: PosePrior,
    poses: BodyParams,
    options: FitOptions,
) -> ViewsFit:
    """Return the bodies of frames whose `points` were seen at `pixels` with a confidence (0: not seen).

    `poses` are bodies that the start learns from. Raises InputError where no frame has three points that two
    views agree on, and where the points do not span a person.
    """
    seen = torch.where(torch.isfinite(pixels).all(3), confidence, 0).clamp(min=0)
    given = torch.where(seen[..., None] > 0, pixels, 0)
    plain = cameras.undistorted(given.to(cameras.inside)).to(points.weight)
    projections = cameras.projections.to(points.weight)
    found = triangulate(plain, seen, projections, options.wrong_px)
    _refuse_other_units(found.points)
    weights = torch.isfinite(found.points).all(2).to(plain)
    subject = SubjectFitter(body, points, prior, poses, options)(found.points, weights)
    # what one view alone sees cannot be contradicted
    used = found.used | ((seen > 0) & ((seen > 0).sum(1, keepdim=True) == 1))
    information = 1 / options.noise_px**2
    observed = Pixels(plain, seen * used, projections, information, options.robust_px)
    fit, varied = _refined(Solver(body, points, prior, options), subject.placed, observed)
    measure = JointUncertainty(body, points, prior, options)
    shape = measure.of_shape(fit.placed[varied], observed.select(varied))
    uncertainty = measured_uncertainty(measure, fit.placed, observed, shape)
    posed = _posed(body, points, fit.placed)
    seen_at = cameras.pixels(posed.to(cameras.inside)).to(given)
    off = torch.where(seen > 0, (seen_at - given).norm(dim=3), torch.nan)
    residuals = (posed - found.points).norm(dim=2)
    subject = replace(
        subject,
        placed=fit.placed,
        converged=fit.converged & subject.fitted,
        residuals=torch.where(subject.fitted[:, None], residuals, torch.nan),
        uncertainty=uncertainty.of_rows(torch.arange(len(seen)), subject.fitted),
    )
    return ViewsFit(subject, found, used, off)


def _refuse_other_units(points: Float[Tensor, "t m 3"]) -> None:
    """Raise InputError where points span no person, as with a calibration in mm."""
    known = torch.isfinite(points)
    low = torch.where(known, points, torch.inf).amin(1)
    high = torch.where(known, points, -torch.inf).amax(1)
    spans = (high - low).amax(1)[known.all(2).sum(1) > 1]
    if len(spans) and not SMALLEST_M <= (size := float(spans.median())) <= LARGEST_M:
        raise InputError(
            f"the triangulated joints span {size:.3g} m; expected a person, {SMALLEST_M} to {LARGEST_M:g} m. "
            "The translations of the calibration must be in m"
        )


def _refined(solver: Solver, start: Placed, observed: Pixels) -> tuple[Fit, Int[Tensor, "n"]]:
    """Return the bodies closest to the pixels, and the frames that gave the shape."""
    counted = observed.weights.amax(1)
    rows = varied_frames(solver.body, start, counted, solver.options.shape_frames)
    one = torch.zeros_like(rows)
    betas = solver.solve(start[rows], observed.select(rows), one).placed.params.betas[:1]
    shaped = BodyParams(start.params.rotmats, betas.expand(len(start), 10))
    begun = Placed(shaped, start.translation)
    fits = in_chunks(
        len(start),
        betas.device,
        lambda rows: solver.solve(begun[rows], observed.select(rows), fit_shape=False),
    )
    return joined(fits), rows


def _posed(body: BodyModel, points: BodyPoints, placed: Placed) -> Float[Tensor, "t m 3"]:
    parts = in_chunks(
        len(placed),
        placed.translation.device,
        lambda rows: points.posed(body, placed.params[rows]) + placed.translation[rows, None],
    )
    return torch.cat(parts)
