"""Figures of bodies: parts (Fig. 3), prototypes (Fig. 4), predictions (Figs. 6-8), a data set."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import BODY_PARTS
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.images.file import Pixels
from pmnet.images.plain import from_the_front, from_the_side, orbited, render_plain
from pmnet.images.sheet import grid
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.report.options import Pictures

LEGEND_HEIGHT = 0.8  # inches


def parts_figure(body: BodyModel, weights: dict[str, float], size: Pictures) -> Figure:
    """Return the body from the front and the back, its parts coloured by weight (Fig. 3)."""
    colours = mpl.colormaps["viridis_r"]
    norm = mpl.colors.LogNorm(min(weights.values()), max(weights.values()) * 1.001)
    palette = torch.tensor([colours(norm(weights[part]))[:3] for part in BODY_PARTS])
    rest = BodyParams(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10))
    views = BodyParams.cat([from_the_front(rest), orbited(from_the_front(rest), math.pi)])
    views = views[slice(0, size.bodies)]
    images = render_plain(body, views, size.size_px, materials=body.parts, palette=palette.float())
    names = ["front", "back"][: size.bodies]
    figure = grid([images], [""], [names], size.size_px, LEGEND_HEIGHT)
    handles = [
        mpl.patches.Patch(color=tuple(colour.tolist()), label=f"{part} {weights[part]:g}")
        for part, colour in zip(BODY_PARTS, palette, strict=True)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=5, title="weight of the part")
    return figure


def prototypes_figure(memory: PrototypeMemory, body: BodyModel, size: Pictures) -> Figure:
    """Return prototypes in three views, from the most to the least common (Fig. 4).

    Rows: as the camera sees them (original), upright from the front, upright from the side.
    """
    order = memory.sizes.argsort(descending=True, stable=True)
    shown = order[evenly(len(order), size.bodies)]
    bodies = memory.prototypes[shown]
    views = [bodies, from_the_front(bodies), from_the_side(bodies)]
    rows = [render_plain(body, view, size.size_px) for view in views]
    shares = memory.sizes[shown] / len(memory.assignments)
    titles = [
        f"#{index}\n{share:.1%}"
        for index, share in zip(shown.tolist(), shares.tolist(), strict=True)
    ]
    return grid(rows, ["original", "front", "side"], [titles], size.size_px)


def gallery_figure(
    images: UInt8[Tensor, "n 3 s s"],
    chosen: BodyParams,
    pred: BodyParams,
    true: BodyParams | None,
    pred_cameras: Float[Tensor, "n 3"],
    labels: Sequence[str],
    body: BodyModel,
    size: Pictures,
) -> Figure:
    """Return one column per sample: input, prototype, prediction, side view, true side view (Figs. 6-8).

    The last row is left out where the true bodies are not known.
    """
    side_pred = orbited(pred, math.pi / 2)
    rows = [
        images,
        render_plain(body, chosen, size.size_px),
        render_plain(body, pred, size.size_px, cameras=pred_cameras),
        render_plain(body, side_pred, size.size_px),
    ]
    names = ["input", "prototype", "prediction", "side view"]
    if true is not None:
        rows.append(render_plain(body, orbited(true, math.pi / 2), size.size_px))
        names.append("truth, side")
    return grid(rows, names, [labels], size.size_px)


def contact_sheet(samples: Samples, pixels: Pixels, size: Pictures) -> Figure:
    """Return images of samples spread evenly over a data set."""
    rows = evenly(len(samples), size.bodies)
    images = pixels.read(rows)
    labels = [samples.sequence[row].split("/")[-1] for row in rows.tolist()]
    columns = min(10, len(rows))
    cells = [images[start : start + columns] for start in range(0, len(rows), columns)]
    titles = [labels[start : start + columns] for start in range(0, len(rows), columns)]
    return grid(cells, [""] * len(cells), titles, size.size_px)
