"""A real person in four calibrated cameras (see balancing/README.md): 2D joints of a network, no truth."""

from pathlib import Path

import torch
from fitted import poses, prior
from people import open_body

from pmnet.fitting.options import fit_options
from pmnet.fitting.view_files import fit_folder

FOLDER = Path(__file__).with_name("balancing")


def test_a_person_of_four_videos():
    noisy = fit_options({"noise_px": 8.0, "robust_px": 40.0, "wrong_px": 60.0}, "test")
    fitted = fit_folder(FOLDER, open_body(), prior(), poses(200, seed=9), noisy)
    assert fitted.up == "z" and fitted.fit.fitted.all()
    assert fitted.fit.converged.float().mean() > 0.8
    # the person is about 800 px tall: 2 or 3 % of that
    off = torch.from_numpy(fitted.more["reprojection_px"])
    assert off.shape == (10, 4, 27) and off.nanmedian() < 20
    knees = [fitted.labels.index(f"{side}_knee") for side in ("left", "right")]
    assert off[:, :, knees].nanmedian() < 22
    # a person who stands, and then balances on one leg with the trunk level
    body = open_body()
    joints = body.joints(fitted.fit.placed.params)
    height = joints[:, 15, 2] - joints[:, [7, 8], 2].amin(1)
    assert 1.2 < height.max() < 1.8
    trunk = torch.nn.functional.normalize(joints[:, 12] - joints[:, 0], dim=1)[:, 2]
    assert trunk[0] > 0.85 > 0.75 > trunk.min()
    assert 5 < fitted.fit.uncertainty.sigma_mm.mean() < 60
