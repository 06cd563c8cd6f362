"""The quality of memories of several K as a table and a plot, from files of samples."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Literal

import pandas as pd

from pmnet.body import BodyModel
from pmnet.body.parts import vertex_weights
from pmnet.clustering.build import part_weights, points_of, search_of, training_bodies
from pmnet.clustering.options import Cluster
from pmnet.clustering.quality import Quality, qualities
from pmnet.core.device import Machine, device_of, set_threads
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.memory.prototypes import SpaceName
from pmnet.report.drawing import save
from pmnet.report.figures import quality
from pmnet.report.options import FigureSize

SIZE = FigureSize(width_in=9.0, height_in=3.6, dpi=130)


def write_quality(
    samples: list[Path],
    body: Path,
    ks: Sequence[int],
    seeds: int,
    space: SpaceName,
    weights: Literal["parts", "flat"],
    options: Cluster,
    machine: Machine,
    out: Path,
) -> pd.DataFrame:
    """Cluster the samples into each K from several seeds; write OUT.csv and OUT.png, return the table.

    The bodies are embedded once for all searches.
    """
    if seeds < 1 or not ks:
        raise InputError("cluster-quality needs at least one --k and one seed")
    set_threads(machine)
    device = device_of(machine)
    model = BodyModel.load(body)
    by_vertex = vertex_weights(model.parts, part_weights(options, weights))
    points = points_of(
        space,
        training_bodies(samples, model, device),
        by_vertex,
        model,
        machine.cache_gib,
        None if device.type == "cpu" else device,
    )
    rows = qualities(points, search_of(options), sorted(set(ks)), seeds)
    columns = [field.name for field in fields(Quality)]
    table = pd.DataFrame([asdict(row) for row in rows], columns=columns)
    with replacing(out.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False, float_format="%.5g", lineterminator="\n")
    save(quality.draw(table, SIZE), out.with_suffix(".png"), SIZE)
    return table
