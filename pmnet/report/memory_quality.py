"""The quality of memories of several K as a table and a plot, from files of samples."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from pmnet.clustering.build import MemoryRequest, effective, embedded_training_bodies
from pmnet.clustering.quality import Quality, qualities
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.report.drawing import save
from pmnet.report.figures import quality
from pmnet.report.options import FigureSize

SIZE = FigureSize(width_in=9.0, height_in=3.6, dpi=130, font_pt=9.0)


def write_quality(request: MemoryRequest, ks: Sequence[int], seeds: int, out: Path) -> pd.DataFrame:
    """Cluster the samples into each of `ks` from several seeds; write OUT.csv and OUT.png, return the table.

    The bodies are embedded once for all clusterings; `request.options.k` is not used.
    Raises InputError without a K or a seed.
    """
    if seeds < 1 or not ks:
        raise InputError("cluster-quality needs at least one --k and one seed")
    embedded = embedded_training_bodies(request)
    rows = qualities(embedded, effective(request.options), sorted(set(ks)), seeds)
    columns = [field.name for field in fields(Quality)]
    table = pd.DataFrame([asdict(row) for row in rows], columns=columns)
    with replacing(out.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False, float_format="%.5g", lineterminator="\n")
    save(quality.draw(table, SIZE), out.with_suffix(".png"), SIZE)
    return table
