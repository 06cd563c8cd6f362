"""Predictions of a trained network, and the errors of each sample under a protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.data.samples import Samples
from pmnet.evaluation.extra import Comparison, ExtraMetrics
from pmnet.evaluation.metrics import MEASURED, Protocol, joint_errors, vertex_errors
from pmnet.evaluation.options import Evaluate
from pmnet.images.file import Pixels
from pmnet.model.network import PMNet, unpack
from pmnet.model.selection import Selector

CPU_BATCH, GPU_BATCH = 64, 512


def batch_of(device: torch.device) -> int:
    """Return how many samples are processed at a time."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


@dataclass(frozen=True)
class Encoded:
    """Features and scores of a data set's images."""

    features: Float[Tensor, "n h"]
    scores: Float[Tensor, "n k"]


@dataclass(frozen=True)
class PosedBodies:
    """The true bodies of samples, posed once: vertices and joints in m."""

    params: BodyParams
    vertices: Float[Tensor, "n v 3"]
    joints: Float[Tensor, "n 24 3"]


@dataclass(frozen=True)
class EvaluationTruth:
    """The ground truth of samples: bodies, if there are any, and the joints (m) of MPJPE."""

    bodies: PosedBodies | None
    joints: Float[Tensor, "n 24 3"]
    known: Bool[Tensor, "n 24"]


@torch.no_grad()
def encode(network: PMNet, pixels: Pixels, rows: Int[Tensor, "n"], device: torch.device) -> Encoded:
    """Return features and scores of the images of `rows`, in order."""
    network.eval()
    parts = []
    for part in rows.split(batch_of(device)):
        parts.append(network.encode(pixels.read(part).to(device).float() / 255))
    features, scores = zip(*parts, strict=True)
    return Encoded(torch.cat(features), torch.cat(scores))


def annotated(samples: Samples, protocol: Protocol) -> Bool[Tensor, "n"]:
    """Return which samples are measured by their annotated joints, not by the joints of their bodies.

    These are all samples with J24 in 3D, with or without a body: SPIN's rule for Human3.6M and
    MPI-INF-3DHP. SMPL joints are used only for samples without a body.
    """
    enough = protocol.measurable(samples.keypoints_3d[..., 3] > 0)
    preferred = ~samples.has_smpl if protocol.measured == "smpl24" else True
    return samples.has_keypoints_3d & enough & preferred


@torch.no_grad()
def truth_of(samples: Samples, body: BodyModel, protocol: Protocol) -> EvaluationTruth:
    """Return the ground truth of samples that all have a body, or all have 3D joints only.

    Where the body model file holds male and female bodies, those of the samples' genders are used.
    """
    device = body.faces.device
    by_file = annotated(samples, protocol).to(device)
    joints, confidence = samples.keypoints_3d.to(device).split([3, 1], 2)
    known = confidence[..., 0] > 0
    if not samples.has_smpl.any():
        return EvaluationTruth(None, joints, known)
    bodies = _true_bodies(samples, body)
    made = bodies.joints if protocol.measured == "smpl24" else body.keypoints(bodies.vertices)
    joints = torch.where(by_file[:, None, None], joints, made)
    return EvaluationTruth(bodies, joints, known | ~by_file[:, None])


def _true_bodies(samples: Samples, body: BodyModel) -> PosedBodies:
    params = samples.body_params().to(body.faces.device)
    vertices, joints = body.vertices(params), body.joints(params)
    for gender, model in body.genders.items():
        rows = [row for row, own in enumerate(samples.gender) if own == gender]
        if rows:
            of_gender = params[torch.tensor(rows, device=body.faces.device)]
            vertices[rows], joints[rows] = model.vertices(of_gender), model.joints(of_gender)  # type: ignore[operator]
    return PosedBodies(params, vertices, joints)


@torch.no_grad()
def inferences(
    selector: Selector,
    encoded: Encoded,
    assigned: Int[Tensor, "n"] | None,
    options: Evaluate,
) -> Iterator[tuple[str, BodyParams, Int[Tensor, "n"]]]:
    """Yield each kind of inference with its bodies and the selected prototypes.

    These are the network (`model`), the network by the other selections of `options`, the network from the
    assigned prototype (`oracle`), and the selected and assigned prototypes alone. Where `assigned` is
    None, the kinds that need it are left out.
    """
    network, features, scores = selector.network, encoded.features, encoded.scores
    start, chosen = selector.start(features, scores, options.selection)
    yield "model", unpack(network.regress(features, start)).params, chosen
    for selection in options.also if selector.chooses else []:
        if selection != options.selection:
            other, rows = selector.start(features, scores, selection)
            yield selection, unpack(network.regress(features, other)).params, rows
    yield "chosen_prototype", unpack(start).params, chosen
    if assigned is not None:
        right = network.from_prototypes(assigned)
        yield "oracle", unpack(network.regress(features, right)).params, chosen
        yield "assigned_prototype", unpack(right).params, chosen


@torch.no_grad()
def errors(
    pred: BodyParams,
    truth: EvaluationTruth,
    body: BodyModel,
    protocol: Protocol,
    extra: ExtraMetrics = MappingProxyType({}),
) -> dict[str, Float[Tensor, "n"]]:
    """Return `mpvpe_mm` (NaN without true bodies), `mpjpe_mm`, `pa_mpjpe_mm` and extra metrics of samples."""
    columns: dict[str, list[Tensor]] = {}
    size = batch_of(pred.betas.device)
    for start in range(0, len(pred), size):
        rows = slice(start, start + size)
        part = pred[rows]
        vertices, joints = body.vertices(part), body.joints(part)
        found = {"mpvpe_mm": torch.full_like(part.betas[:, 0], torch.nan)}
        if (true := truth.bodies) is not None:
            pairs = vertices, joints, true.vertices[rows], true.joints[rows]
            found = vertex_errors(*pairs, protocol)
        measured = joints if protocol.measured == "smpl24" else body.keypoints(vertices)
        found |= joint_errors(measured, truth.joints[rows], truth.known[rows], protocol)
        if extra:
            posed = PosedBodies(part, vertices, joints)
            compared = _compared(posed, measured, truth, rows, protocol)
            found |= {name: metric(compared) for name, metric in extra.items()}
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    return {name: torch.cat(parts) for name, parts in columns.items()}


def _compared(
    pred: PosedBodies,
    measured: Float[Tensor, "b 24 3"],
    truth: EvaluationTruth,
    rows: slice,
    protocol: Protocol,
) -> Comparison:
    """Return what extra metrics compare, aligned by the protocol; `measured` are the predicted joints."""
    kept, known = MEASURED[protocol.measured], truth.known[rows]
    joints = [x - protocol.joint_origin(x, known) for x in (measured, truth.joints[rows])]
    vertices: tuple[Tensor | None, Tensor | None] = None, None
    if (true := truth.bodies) is not None:
        vertices = (
            pred.vertices - protocol.origin(pred.joints),
            true.vertices[rows] - protocol.origin(true.joints[rows]),
        )
    return Comparison(joints[0][:, kept], joints[1][:, kept], known[:, kept], *vertices)


def distance_to_mean_mm(
    truth: EvaluationTruth, mean: BodyParams, body: BodyModel
) -> Float[Tensor, "n"]:
    """Return the mean distance (mm) between the vertices of each sample and those of the mean body.

    The bodies are not aligned, as in Fig. 1(b); `mean` is the single prototype. NaN without true bodies.
    """
    if truth.bodies is None:
        return torch.full_like(truth.joints[:, 0, 0], torch.nan)
    vertices = truth.bodies.vertices
    return mean_distance_mm(vertices, body.vertices(mean).expand_as(vertices))


def error_table(
    samples: Samples,
    rows: Int[Tensor, "n"],
    inference: str,
    measured: dict[str, Tensor],
    distance: Float[Tensor, "n"],
    assigned: Int[Tensor, "n"],
    chosen: Int[Tensor, "n"],
) -> pd.DataFrame:
    """Return one row per sample: its data set, its row in the file, who is seen, and its errors."""
    return pd.DataFrame(
        {
            "dataset": samples.about.dataset,
            "sample": rows.numpy(),
            "subject": samples.subject,
            "sequence": samples.sequence,
            "inference": inference,
            "distance_to_mean_mm": distance.cpu().numpy(),
            "assigned": assigned.cpu().numpy(),
            "chosen": chosen.cpu().numpy(),
            **{name: values.cpu().numpy() for name, values in measured.items()},
        }
    )
