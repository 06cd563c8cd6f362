"""Predictions of a trained network, and the errors of each sample under a protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import MappingProxyType
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.body.posing import many_vertices
from pmnet.body.rotations import axis_rotation
from pmnet.data.samples import Samples
from pmnet.evaluation.extra import Comparison, ExtraMetrics
from pmnet.evaluation.metrics import (
    AnnotatedPoints,
    BodyPoints,
    MeasuredPoints,
    mpjpe_mm,
    pa_mpjpe_mm,
)
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.protocols import Protocol
from pmnet.images.file import Pixels, centre
from pmnet.images.store import ImageStore, feed
from pmnet.model.network import PMNet, unpack
from pmnet.model.selection import Selector

CPU_BATCH, GPU_BATCH = 64, 512
READ = 64  # images that a process reads at a time: all processes then work on the first batch


def batch_of(device: torch.device) -> int:
    """Return how many samples are processed at a time."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


@dataclass(frozen=True)
class Encoded:
    """Features and scores of a data set's images."""

    features: Float[Tensor, "n h"]
    scores: Float[Tensor, "n k"]


@dataclass(frozen=True)
class EvaluationTruth:
    """The ground truth of samples by a protocol.

    `bodies` are their true bodies, posed once, if there are any; `joints` are the joints (m) of MPJPE,
    `known` says which of them are known, and `origin` (m) is what is moved to zero. `genders` are those of
    the samples.
    """

    params: BodyParams | None
    bodies: BodyPoints | None
    joints: Float[Tensor, "n j 3"]
    known: Bool[Tensor, "n j"]
    origin: Float[Tensor, "n 1 3"]
    genders: list[str]

    def at(self, rows: Int[Tensor, "b"]) -> "EvaluationTruth":
        """Return the truth of some samples."""
        return EvaluationTruth(
            None if self.params is None else self.params[rows],
            None if self.bodies is None else self.bodies.at(rows),
            self.joints[rows],
            self.known[rows],
            self.origin[rows],
            [self.genders[i] for i in rows.tolist()],
        )


@dataclass(frozen=True)
class Inference:
    """One way to predict the bodies of samples.

    Sample i has the body `rows[i]` of `bodies`, or body i where `rows` is None. `chosen` are the selected
    prototypes.
    """

    name: str
    bodies: BodyParams
    chosen: Int[Tensor, "n"]
    rows: Int[Tensor, "n"] | None = None


def images_of(
    pixels: Pixels, blocks: Sequence[Int[Tensor, "_"]], device: torch.device, workers: int
) -> Iterator[UInt8[Tensor, "_ 3 s s"]]:
    """Yield the images of each block of rows on the device.

    For a GPU, `workers` processes read images ahead while it computes.
    """
    parts = [rows.split(READ) for rows in blocks]
    read = feed(ImageStore([pixels]), chain.from_iterable(parts), device, workers, 0.0)
    for own in parts:
        stored = torch.cat([images for _, images in islice(read, len(own))])
        yield centre(stored.permute(0, 3, 1, 2), pixels.size_px)


@torch.no_grad()
def encode(network: PMNet, images: UInt8[Tensor, "n 3 s s"]) -> Encoded:
    """Return features and scores of images, in order."""
    network.eval()
    batches = images.split(batch_of(images.device))
    features, scores = zip(*(network.encode(part.float() / 255) for part in batches), strict=True)
    return Encoded(torch.cat(features), torch.cat(scores))


def annotations(samples: Samples) -> AnnotatedPoints:
    """Return the 3D joints of the annotation file; none are known of a sample without them."""
    points, confidence = samples.keypoints_3d.split([3, 1], 2)
    return AnnotatedPoints(points, (confidence[..., 0] > 0) & samples.has_keypoints_3d[:, None])


@torch.no_grad()
def truth_of(
    samples: Samples,
    body: BodyModel,
    protocol: Protocol,
    bodies: BodyPoints | None = None,
) -> EvaluationTruth:
    """Return the ground truth of samples that all have what the protocol compares with.

    Either all or none of them have a body. The true bodies are of the samples' genders if the protocol
    says so; `bodies` are these, where they have been posed already.
    """
    device = body.faces.device
    params = samples.body_params().to(device) if samples.has_smpl.any() else None
    genders = [] if protocol.gender == "neutral" else samples.gender
    if params is not None and bodies is None:
        bodies = posed(params, body, genders)
    if protocol.truth == "joints":
        found = annotations(samples)
        joints, known = found.measured(protocol.joints)
        origin = found.origin(protocol.mpjpe)
        return EvaluationTruth(
            params, bodies, joints.to(device), known.to(device), origin.to(device), samples.gender
        )
    if bodies is None:
        raise ValueError("the samples have no bodies, but the protocol compares with true bodies")
    joints = bodies.measured(protocol.joints)
    known = torch.ones_like(joints[..., 0], dtype=torch.bool)
    return EvaluationTruth(
        params, bodies, joints, known, bodies.origin(protocol.mpjpe), samples.gender
    )


def posed(params: BodyParams, body: BodyModel, genders: Sequence[str] = ()) -> BodyPoints:
    """Return posed bodies; rows whose gender the model has are of that gender, all others are neutral."""
    vertices, joints = many_vertices(body, params), body.joints(params)
    for gender, model in body.genders.items():
        rows = [row for row, own in enumerate(genders) if own == gender]
        if rows:
            of_gender = params[torch.tensor(rows, device=body.faces.device)]
            vertices[rows], joints[rows] = many_vertices(model, of_gender), model.joints(of_gender)  # type: ignore[operator, arg-type]
    return BodyPoints(body, vertices, joints)


@torch.no_grad()
def inferences(
    selector: Selector,
    encoded: Encoded,
    assigned: Int[Tensor, "n"] | None,
    options: Evaluate,
) -> Iterator[Inference]:
    """Yield each kind of inference.

    These are the network (`model`), the network by the other selections of `options`, the network from the
    assigned prototype (`oracle`), and the selected and assigned prototypes alone. Where `assigned` is
    None, the kinds that need it are left out.
    """
    network, features, scores = selector.network, encoded.features, encoded.scores
    start, chosen = selector.start(features, scores, options.selection)
    every = torch.arange(len(network.memory), device=chosen.device)
    prototypes = unpack(network.from_prototypes(every)).params
    yield Inference("model", unpack(network.regress(features, start)).params, chosen)
    for selection in options.also if selector.chooses else []:
        if selection != options.selection:
            other, rows = selector.start(features, scores, selection)
            yield Inference(selection, unpack(network.regress(features, other)).params, rows)
    if options.selection == "soft" and selector.chooses:
        yield Inference("chosen_prototype", unpack(start).params, chosen)
    else:
        yield Inference("chosen_prototype", prototypes, chosen, chosen)
    if assigned is not None:
        right = network.from_prototypes(assigned)
        yield Inference("oracle", unpack(network.regress(features, right)).params, chosen)
        yield Inference("assigned_prototype", prototypes, chosen, assigned)


@torch.no_grad()
def errors(
    pred: BodyParams,
    truth: EvaluationTruth,
    body: BodyModel,
    protocol: Protocol,
    extra: ExtraMetrics = MappingProxyType({}),
    rows: Int[Tensor, "n"] | None = None,
    of: Int[Tensor, "m"] | None = None,
) -> dict[str, Float[Tensor, "m"]]:
    """Return `mpvpe_mm` (NaN without true bodies), `mpjpe_mm`, `pa_mpjpe_mm` and extra metrics.

    The body of sample i is `pred[rows[i]]`, or `pred[i]` where `rows` is None; `of` are the samples to
    measure (None: all).
    """
    shared = None if rows is None or protocol.prediction == "own" else posed(pred, body)
    samples = torch.arange(len(truth.joints), device=truth.joints.device) if of is None else of
    columns: dict[str, list[Tensor]] = {}
    for part in samples.split(batch_of(samples.device)):
        own, true = part if rows is None else rows[part], truth.at(part)
        genders = true.genders if protocol.prediction == "own" else ()
        points = posed(pred[own], body, genders) if shared is None else shared.at(own)
        for name, values in errors_of_points(points, true, protocol, extra).items():
            columns.setdefault(name, []).append(values)
    return {name: torch.cat(parts) for name, parts in columns.items()}


def differing(pred: BodyParams, other: BodyParams) -> Int[Tensor, "m"]:
    """Return the rows in which two sequences of bodies are not equal."""
    poses = (pred.rotmats != other.rotmats).flatten(1).any(1)
    return (poses | (pred.betas != other.betas).any(1)).nonzero()[:, 0]


def errors_of_points(
    pred: MeasuredPoints,
    truth: EvaluationTruth,
    protocol: Protocol,
    extra: ExtraMetrics = MappingProxyType({}),
) -> dict[str, Float[Tensor, "b"]]:
    """Return the errors of posed predictions for the samples of `truth`, as `errors` does.

    Predictions without vertices have no MPVPE: it is NaN.
    """
    joints, known = pred.measured(protocol.joints), truth.known
    rooted = joints - pred.origin(protocol.mpjpe), truth.joints - truth.origin
    vertices = None
    if truth.bodies is not None and pred.vertices is not None:
        vertices = (
            pred.vertices - pred.origin(protocol.mpvpe),
            truth.bodies.vertices - truth.bodies.origin(protocol.mpvpe),
        )
    found = {
        "mpvpe_mm": torch.full_like(truth.joints[:, 0, 0], torch.nan)
        if vertices is None
        else mean_distance_mm(*vertices),
        "mpjpe_mm": mpjpe_mm(*rooted, known),
        "pa_mpjpe_mm": pa_mpjpe_mm(joints, truth.joints, known),
    }
    if extra:
        compared = Comparison(*rooted, known, *(vertices or (None, None)))
        found |= {name: metric(compared) for name, metric in extra.items()}
    return found


def distance_to_mean_mm(
    truth: EvaluationTruth,
    mean: BodyParams,
    body: BodyModel,
    distance: Literal["as_seen", "heading_free"] = "as_seen",
) -> Float[Tensor, "n"]:
    """Return the mean distance (mm) between the vertices of each sample and those of the mean body.

    The bodies are not aligned, as in Fig. 1(b); `mean` is the single prototype. With `heading_free`, the mean
    body first turns about the camera's vertical axis to where it fits the sample best. NaN without true
    bodies.
    """
    if truth.bodies is None:
        return torch.full_like(truth.joints[:, 0, 0], torch.nan)
    vertices = truth.bodies.vertices
    still = body.vertices(mean)
    if distance == "heading_free":
        parts = vertices.split(batch_of(vertices.device))
        return torch.cat([mean_distance_mm(part, turned_to(part, still)) for part in parts])
    return mean_distance_mm(vertices, still.expand_as(vertices))


def turned_to(
    vertices: Float[Tensor, "b v 3"], still: Float[Tensor, "1 v 3"]
) -> Float[Tensor, "b v 3"]:
    """Return the body `still` turned about the vertical axis (y) to fit each body best (least squares).

    The angle is in closed form: the rotation of the x-z plane that maximises the sum of the products of
    corresponding points.
    """
    x, z = still[..., 0], still[..., 2]
    along = (vertices[..., 0] * x + vertices[..., 2] * z).sum(1)
    across = (vertices[..., 0] * z - vertices[..., 2] * x).sum(1)
    turn = axis_rotation(1, torch.atan2(across, along))
    return still @ turn.mT


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
