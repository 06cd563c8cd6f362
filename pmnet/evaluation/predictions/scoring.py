"""Errors of predictions, sample by sample, as `evaluate` writes those of a run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.body.keypoints import H36M_CURE
from pmnet.core.device import in_threads
from pmnet.core.errors import InputError
from pmnet.core.progress import say, track
from pmnet.data.samples import Samples
from pmnet.evaluation import prediction
from pmnet.evaluation.evaluator import measurable_rows
from pmnet.evaluation.extra import ExtraMetrics
from pmnet.evaluation.needs import GENDERS_CURE
from pmnet.evaluation.options import Distance
from pmnet.evaluation.predictions.checks import check_plausible, check_sizes
from pmnet.evaluation.predictions.joins import Join, join
from pmnet.evaluation.predictions.options import Turn, Use
from pmnet.evaluation.predictions.points import PredictedPoints, mesh_points
from pmnet.evaluation.predictions.record import Predictions
from pmnet.evaluation.protocols import OF_SKELETON, Protocol
from pmnet.memory.nearest import assign_exactly
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import Space, space_of

BLOCK: Final = 256  # samples at a time
LARGEST_HASHED: Final = 2_000_000_000  # bytes
MODEL: Final = "model"  # the inference that a row is of
NO_SEED: Final = -1
# the memory that a header needs: there is none
NO_MEMORY: Final[Mapping[str, Any]] = {
    "space": "vertex",
    "weights": "flat",
    "k": 1,
    "limb_weight": 1.0,
    "max_iterations": 0,
    "selection": "",
}


@dataclass(frozen=True)
class Reading:
    """How predictions are taken: which columns, turned how, and what is not refused."""

    use: Use | None = None
    turn: Turn = "none"
    trust_order: bool = False
    allow_missing: bool = False


@dataclass(frozen=True)
class Scorer:
    """The body model, the body that distances are measured to, a memory or none, and the metrics."""

    body: BodyModel
    mean: BodyParams
    distance: Distance
    extra: ExtraMetrics
    memory: PrototypeMemory | None = None

    def bind(
        self,
        predictions: Predictions,
        samples: Samples,
        seen: Tensor,
        protocol: Protocol,
        file: Path,
        reading: Reading,
    ) -> "Scored":
        """Return predictions joined with the samples that a protocol can measure, after all checks.

        `seen` says which samples have an image; `file` names the samples in errors. Raises InputError where
        predictions and samples do not belong together.
        """
        if samples.about.body != self.body.sha256:
            raise InputError(
                f"{file}: ingested with the body model {samples.about.body[:12]}, not with the given one "
                f"({self.body.sha256[:12]}); give the body of the samples with --body"
            )
        self.refuse_lacking(protocol)
        rows = measurable_rows(samples, seen, protocol, file)
        joined = join(predictions, samples, rows.numpy(), reading.allow_missing)
        predicted = PredictedPoints(
            predictions, self.body, reading.use or default_use(predictions), reading.turn
        )
        refuse_unused(predicted)
        check_plausible(predicted, samples, joined, protocol, reading.trust_order)
        return Scored(self, predicted, samples, joined, protocol)

    def refuse_lacking(self, protocol: Protocol) -> None:
        """Raise InputError where the body model lacks what a protocol measures by."""
        if protocol.needs_h36m() and not self.body.has_h36m:
            raise InputError(
                f"the protocol {protocol.name} needs J_regressor_h36m, which the body model lacks; "
                f"{H36M_CURE}"
            )
        if protocol.needs_genders() and len(self.body.genders) < 2:
            raise InputError(
                f"the protocol {protocol.name} needs male and female bodies; {GENDERS_CURE}"
            )

    @cached_property
    def _space(self) -> Space:
        assert self.memory is not None
        return space_of(self.memory.space, self.memory.vertex_weights, self.body)

    def assigned(self, params: BodyParams) -> Int[Tensor, "n"]:
        """Return the nearest prototype of each true body; -1 without a memory."""
        if self.memory is None:
            return torch.full((len(params),), -1)
        return assign_exactly(self._space, self.memory.prototypes, params)


def default_use(predictions: Predictions) -> Use:
    """Return the columns that are scored: parameters, then meshes, then joints alone."""
    if predictions.pose is not None:
        return "pose"
    return "vertices" if predictions.vertices is not None else "joints"


def refuse_unused(predicted: PredictedPoints) -> None:
    """Raise InputError where the file does not have the columns that are to be used."""
    if getattr(predicted.predictions, predicted.use) is None:
        raise InputError(
            f"{predicted.predictions.source}: has no {predicted.use}; choose another --use, or leave it out"
        )


@dataclass(frozen=True)
class Scored:
    """Predictions of the samples of a data set, under a protocol."""

    scorer: Scorer
    predicted: PredictedPoints
    samples: Samples
    joined: Join
    protocol: Protocol

    def errors(self) -> pd.DataFrame:
        """Return the errors of all joined samples, in the columns of `evaluate`."""
        self._say_skeleton()
        starts = range(0, len(self.joined.rows), BLOCK)
        blocks = in_threads(self._of_block, starts)
        return pd.concat(list(track(blocks, "scoring", len(starts))), ignore_index=True)

    @torch.no_grad()
    def _of_block(self, start: int) -> pd.DataFrame:
        """Return the errors of the joined samples from `start` on."""
        scorer = self.scorer
        rows = torch.from_numpy(self.joined.rows[start : start + BLOCK])
        found = self.joined.found[start : start + BLOCK]
        some = self.samples.select(rows)
        truth = prediction.truth_of(some, scorer.body, self.protocol)
        points = self.predicted.of(found, self.protocol, truth.genders)
        if self.predicted.use != "pose":
            seen = points.vertices
            seen = points.measured(self.protocol.joints) if seen is None else seen
            check_sizes(self.predicted, seen, found)
        errors = prediction.errors_of_points(points, truth, self.protocol, scorer.extra)
        distance = prediction.distance_to_mean_mm(truth, scorer.mean, scorer.body, scorer.distance)
        none = torch.full_like(rows, -1)
        assigned = none if truth.params is None else scorer.assigned(truth.params)
        table = prediction.error_table(some, rows, MODEL, errors, distance, assigned, none)
        return table.assign(seed=0, memory_seed=NO_SEED)

    def _say_skeleton(self) -> None:
        """Say what a skeleton made of a mesh is worth, where the protocol uses it."""
        p = self.protocol
        used = p.joints == "smpl24" or {p.mpjpe, p.mpvpe} & set(OF_SKELETON)
        if self.predicted.use == "vertices" and used and not self.predicted.has_skeleton:
            rows = torch.from_numpy(self.joined.rows[:: max(1, len(self.joined.rows) // 64)])
            params = self.samples.select(rows).body_params()
            pose = prediction.posed(params, self.scorer.body)
            made = mesh_points(self.scorer.body, pose.vertices).skeleton
            gap = float(mean_distance_mm(made, pose.skeleton).mean())
            say(
                f"{self.predicted.predictions.source}: the skeleton of the meshes is made by J_regressor, "
                f"which puts joints {gap:.1f} mm (mean, on the true bodies) from those of the pose; "
                "give `joints` of `joint_set` smpl24 too, or choose a protocol with h36m joints"
            )

    def under(self, protocol: Protocol) -> "Scored":
        """Return the same predictions under another protocol of the same kind of truth."""
        self.scorer.refuse_lacking(protocol)
        return replace(self, protocol=protocol)

    def about(self) -> dict[str, Any]:
        """Return where the errors come from, for the header of their file."""
        p = self.predicted
        return {
            "file": p.predictions.source.name,
            "sha256": _sha256(p.predictions.source),
            "layout": p.predictions.layout,
            "used": p.use,
            "turn": p.turn,
            "joined_by": self.joined.how,
            "rows": len(p.predictions),
            "scored": len(self.joined.rows),
        }


def _sha256(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > LARGEST_HASHED:
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
