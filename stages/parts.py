"""parts: the parts of the body, coloured by weight (Fig. 3)."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pmnet.body import BodyModel
from pmnet.body.parts import PartWeights
from pmnet.core.ranges import Weight
from pmnet.core.stage import OutFile, Section, command
from pmnet.images.sheet import DPI
from pmnet.report.drawing import save_pictures
from pmnet.report.options import Pictures, VectorFormat
from pmnet.report.renders import parts_figure


def parts(
    body: Path,
    out: OutFile,
    limb_weight: Annotated[Weight, Section("cluster.limb_weight")],
    part_weights: Annotated[PartWeights, Section("cluster.part_weights")],
    size: Annotated[Pictures, Section("figures.parts")],
    vector: VectorFormat = "pdf",
) -> None:
    """Draw the body with its parts coloured by their weight in the P3DH distance."""
    weights = {"limb": limb_weight, **asdict(part_weights)}
    figure = parts_figure(BodyModel.load(body), weights, size)
    save_pictures(figure, out, DPI, vector)


if __name__ == "__main__":
    command(parts)
