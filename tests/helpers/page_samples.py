"""Samples of a page made by hand: two runs, two data sets, pictures of one colour."""

import io

import numpy as np
import torch
from bodies import random_bodies
from PIL import Image

from pmnet.body import BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.report.page.bodies import ThinnedBody, as_numbers
from pmnet.report.page.samples import PageHeader, PageRun, PageSamples

K = 5
RUNS = [
    PageRun("single", "single", "Single prototype (baseline)", 1, 0),
    PageRun("p3dh_k5_l5.0", "p3dh", "P3DH K-Means", K, 0),
]


def turned_over(params: BodyParams) -> BodyParams:
    """Return bodies with their heads up in the camera frame, whose y axis points down."""
    over = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    rotmats = params.rotmats.clone()
    rotmats[:, 0] = over @ rotmats[:, 0]
    return BodyParams(rotmats, params.betas)


def pelvis_at_zero(params: BodyParams, body: BodyModel) -> torch.Tensor:
    return body.vertices(params) - body.joints(params)[:, :1]


def page_samples(body: BodyModel, n: int = 24, form: str = "numbers") -> PageSamples:
    """Return samples whose errors are those of their bodies; every third choice is wrong."""
    prototypes = turned_over(random_bodies(1 + K, 1, 0.2))
    true = turned_over(random_bodies(n, 2, 0.3))
    predicted = [turned_over(random_bodies(n, 3 + run, 0.3)) for run in range(2)]
    truth = pelvis_at_zero(true, body)
    mpvpe = [mean_distance_mm(pelvis_at_zero(each, body), truth).numpy() for each in predicted]
    errors = np.stack([np.stack([e, 0.9 * e, 0.5 * e], 1) for e in mpvpe]).astype(np.float64)
    rows = np.arange(n)
    assigned = np.stack([0 * rows, rows % K])
    chosen = np.stack([0 * rows, np.where(rows % 3 == 0, (rows + 1) % K, rows % K)])
    parts = [prototypes, true, *predicted]
    faces = np.zeros((0, 3), np.int64)
    if form == "numbers":
        bodies = np.concatenate([as_numbers(part, None) for part in parts])
    else:
        thinned = ThinnedBody.of(body)
        faces = thinned.faces
        bodies = np.concatenate([thinned.as_steps(part, body) for part in parts])
    pictures = [picture(row) for row in range(n)]
    return PageSamples(
        header=PageHeader(1, body.sha256, form, "hard", "alignment pelvis", RUNS),
        bodies=bodies,
        faces=faces,
        truth=1 + K + rows,
        predicted=np.stack([1 + K + n + rows, 1 + K + 2 * n + rows]),
        first=np.array([0, 1, 1 + K]),
        sizes=np.array([100, 10, 50, 20, 15, 5]),
        assigned=assigned,
        chosen=chosen,
        errors_mm=errors,
        distance_mm=100.0 + 7.0 * ((rows * 5) % n),
        dataset=np.where(rows < n // 2, "open_common", "open_rare"),
        sequence=np.array([f"{'sit' if row % 2 else 'kick'}_{row}" for row in range(n)]),
        subject=np.array([f"s{row}" for row in range(n)]),
        sample=rows,
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        picture_ends=np.cumsum([len(each) for each in pictures]),
        log=np.array(
            [[run, step, 2.0 / (step + run + 1), 0.1 * step] for run in (0, 1) for step in range(5)]
        ),
    )


def picture(row: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (40 + row * 7 % 200, 90, 140)).save(stream, "WEBP")
    return stream.getvalue()
