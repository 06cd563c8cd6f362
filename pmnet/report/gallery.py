"""Samples of a test set worth looking at, with what the network made of them (Figs. 6-8)."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from pmnet.body import BodyModel
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.data.sets import pairs_of
from pmnet.evaluation.error_table import read_errors
from pmnet.images.file import Pixels
from pmnet.model.network import unpack
from pmnet.model.weights import load_memory, load_network, model_file
from pmnet.report.options import Pictures
from pmnet.report.renders import gallery_figure
from pmnet.report.statistics import tail

TAIL = 10  # per cent


def pick_samples(errors: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return `count` samples each of the head, of the tail done well, and of the tail done badly.

    `errors` has the network's rows of one seed and data set. Head: spread over the nearest tenth by
    distance to the mean body; tail: the lowest and the highest MPVPE in the farthest tenth. Without
    bodies there are no distances: the samples are spread from the lowest to the highest MPJPE.
    """
    if errors["distance_to_mean_mm"].isna().all():
        ranked = errors.sort_values("mpjpe_mm")
        rows = evenly(len(ranked), 3 * count).tolist()
        return ranked.iloc[rows].assign(group="joints")
    near = errors.nsmallest(max(len(errors) * TAIL // 100, 1), "distance_to_mean_mm")
    far = errors[tail(errors, TAIL)].sort_values("mpvpe_mm")
    groups = {
        "head": near.iloc[evenly(len(near), count).tolist()],
        "tail, good": far.head(count),
        "tail, failed": far.tail(count),
    }
    return pd.concat([rows.assign(group=group) for group, rows in groups.items()])


@torch.no_grad()
def draw_gallery(
    errors: Path, sets: Path, memory: Path, models: Path, body: Path, size: Pictures
) -> Iterator[tuple[Figure, str]]:
    """Yield the figure and the name of each test set, with predictions of the first seed's network."""
    model = BodyModel.load(body)
    prototypes = load_memory(memory, model)
    rows = read_errors([errors])
    seed = int(rows["seed"].min())
    rows = rows[(rows["seed"] == seed) & (rows["inference"] == "model")]
    network = load_network(model_file(models, seed), prototypes)
    for samples, images in pairs_of(sets):
        table = Samples.load(samples)
        picked = pick_samples(rows[rows["dataset"] == table.about.dataset], size.bodies)
        index = torch.tensor(picked["sample"].to_numpy())
        pixels = Pixels(images).read(index)
        features, scores = network.encode(pixels.float() / 255)
        chosen = network.memory[scores.argmax(1)]
        predicted = unpack(network.regress(features, chosen))
        true = table.body_params(index) if table.has_smpl[index].all() else None
        error = picked["mpjpe_mm" if true is None else "mpvpe_mm"]
        labels = [f"{name}\n{mm:.0f} mm" for name, mm in zip(picked["group"], error, strict=True)]
        bodies = unpack(chosen).params, predicted.params, true
        yield (
            gallery_figure(pixels, *bodies, predicted.camera, labels, model, size),
            table.about.dataset,
        )
