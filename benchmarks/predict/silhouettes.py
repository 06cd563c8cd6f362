"""The silhouettes of overlays: how well the meshes of `pmnet predict` cover the true people."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pmnet.core.device import Machine
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.images.file import Pixels
from pmnet.images.render import silhouettes
from pmnet.model.network import unpack
from pmnet.predict.command import predict
from pmnet.predict.options import PredictOptions
from pmnet.predict.overlays import PlacedMesh, drawn_size, silhouette
from pmnet.predict.trained import TrainedRun, find_run


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


@torch.no_grad()
def compare_silhouettes(project: Path, run: str, count: int, test: str = "open_rare") -> None:
    """Print the median IoU of overlays and of what `evaluate` predicts, with the true silhouettes.

    `count` images of a test set are written as PNG and given to `predict`; the masks are compared in the
    pixels of the overlay.
    """
    trained = TrainedRun(
        find_run(str(project / "runs" / run), None), Machine("cpu", 1, 1, 0.0, 0.0, 1, 1)
    )
    samples = Samples.load(project / f"data/samples/test/{test}.arrow")
    rows = evenly(len(samples), count)
    pixels = Pixels(project / f"data/images/test/{test}.arrow").read(rows)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "in").mkdir()
        for number, image in enumerate(pixels):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"in/{number}.png")
        options = PredictOptions(
            place / "out", "whole", 1.2, 0.7, None, None, ["npz"], "skeleton", 1
        )
        found = predict(place / "in", trained, options).predictions
    body = trained.body.to(torch.device("cpu"))
    size = pixels.shape[-1], pixels.shape[-1]
    drawn = drawn_size(size)
    true = silhouettes(body, samples.body_params(rows), samples.camera[rows], drawn[0]).numpy()
    encoded = trained.encode(pixels)
    start, _ = trained.selector.start(encoded.features, encoded.scores, trained.files.selection)
    seen = unpack(trained.network.regress(encoded.features, start))
    evaluated = silhouettes(body, seen.params, seen.camera, drawn[0]).numpy()
    vertices = body.vertices(found.body_params()).numpy() + found.translation[:, None]
    overlaid = [
        silhouette(PlacedMesh(mesh, float(focal)), body, size, drawn)
        for mesh, focal in zip(vertices, found.focal_length, strict=True)
    ]
    ours = [iou(a, b) for a, b in zip(overlaid, true, strict=True)]
    theirs = [iou(a, b) for a, b in zip(evaluated, true, strict=True)]
    apart = np.abs(np.array(ours) - theirs).max()
    print(
        f"{len(ours)} images of {test}: median IoU with the true silhouette {np.median(ours):.3f} (overlay), "
        f"{np.median(theirs):.3f} (evaluate's body and camera); no image differs by more than {apart:.3f}"
    )
