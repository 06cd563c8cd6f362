"""How good fits are, in one sentence: of samples, or of a file that pmnet has fitted."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.body.keypoints import J24
from pmnet.body.parts import JOINTS
from pmnet.check.inspection import Finding
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets.amass.clips import read_motion
from pmnet.datasets.amass.fitted import FittedSamples
from pmnet.formats.npz import npz_keys, read_npz

TOO_FAR_MM: Final = 50.0  # of the median: these points do not belong to this body


def fit_findings(samples: Samples, file: Path) -> Iterator[Finding]:
    """Yield how good the fits of samples are, or those in their file, where pmnet fitted them."""
    if isinstance(samples, FittedSamples):
        sigma = samples.sigma_mm.numpy()
        yield fit_finding(samples.residuals_mm.numpy(), samples.converged.numpy(), JOINTS, sigma)
    elif file.suffix == ".npz" and {"residuals_mm", "converged"} <= npz_keys(file):
        try:
            values = read_npz(file, ("residuals_mm", "converged"))
            yield fit_finding(values["residuals_mm"], values["converged"] > 0, J24)
        except (InputError, KeyError, ValueError, TypeError):
            yield Finding("wrong", f"{file}: 'residuals_mm' is damaged; fit it again")


def finding_of_motions(files: Sequence[Path]) -> Finding:
    """Return a finding on all fits in files of motions."""
    fits = [fit for file in files if (motion := read_motion(file)) and (fit := motion.fit)]
    residuals = np.concatenate([fit.residuals_mm[fit.fitted] for fit in fits])
    converged = np.concatenate([fit.converged[fit.fitted] for fit in fits])
    found = fit_finding(residuals, converged, JOINTS)
    swapped, dropped = sum(fit.swapped for fit in fits), sum(fit.dropped for fit in fits)
    unfitted = sum(fit.unfitted for fit in fits)
    return Finding(
        found.kind,
        f"{found.text}; {swapped} points had another's label, {dropped} were dropped, {unfitted} frames "
        "showed too few points",
    )


def fit_finding(
    residuals_mm: np.ndarray,
    converged: np.ndarray,
    joints: Sequence[str],
    sigma_mm: np.ndarray | None = None,
) -> Finding:
    """Return a finding on N fits from the residuals (N, J) of their joints, NaN where nothing was seen."""
    seen = np.isfinite(residuals_mm)
    total = np.where(seen, residuals_mm, 0)
    known = seen.any(1)
    if not known.any():
        return Finding("note", "no point was seen in any frame: all bodies are the prior's")
    means = total[known].sum(1) / seen[known].sum(1)
    by_joint = total.sum(0) / np.maximum(seen.sum(0), 1)
    worst = int(by_joint.argmax())
    middle = float(np.median(means))
    text = (
        f"fits lie {middle:.1f} mm from what was seen (median; 95 %: {np.quantile(means, 0.95):.1f}, worst: "
        f"{means.max():.1f}; farthest joint: {joints[worst]}, {by_joint[worst]:.1f}); "
        f"{int((~converged).sum())} of {len(converged)} did not settle"
    )
    if sigma_mm is not None and np.isfinite(sigma_mm).any():
        spread = np.nanmean(sigma_mm, 0)
        open_joint = int(np.nanargmax(spread))
        text += f"; least sure joint: {joints[open_joint]}, {spread[open_joint]:.0f} mm"
    if middle > TOO_FAR_MM:
        return Finding("wrong", f"{text}: look at labels, unit and options.markers")
    return Finding("note", text)
