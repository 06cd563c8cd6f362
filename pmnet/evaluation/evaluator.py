"""Evaluation of a run: the errors of each test sample, for each seed and kind of inference."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams, read_body
from pmnet.core.device import Machine, workers_of
from pmnet.core.distributed import device_among, gather_in_order, rank_and_world_size
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS
from pmnet.data.samples import Samples
from pmnet.evaluation import prediction
from pmnet.evaluation.extra import ExtraMetrics, extra_metrics
from pmnet.evaluation.needs import check_mean, check_regressors
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.phrases import phrase_of
from pmnet.evaluation.prediction import Encoded, EvaluationTruth, Inference
from pmnet.evaluation.protocols import DEFAULT, Protocol, protocol_of
from pmnet.images.file import Pixels, check_images
from pmnet.memory.nearest import assign_exactly
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import Space, space_of
from pmnet.memory.spin import read_mean
from pmnet.model.network import PMNet
from pmnet.model.selection import Selector
from pmnet.model.weights import load_memory, load_network, model_file, precision_of

EXTRA = f"{PARAMS}: evaluate.extra"  # the section that names extra metrics
CHOSEN = f"{PARAMS}: evaluate.protocols"
BLOCK = 1024  # samples that one process works on at a time; each has 82 kB of true vertices


@dataclass(frozen=True)
class Measured:
    """Predicted bodies and their errors by metric, per sample."""

    bodies: BodyParams
    errors: dict[str, Tensor]


@dataclass(frozen=True)
class Evaluator:
    """The memory and the trained networks of a run, the mean body, and the settings of evaluation.

    `workers` processes read images where a GPU computes.
    """

    body: BodyModel
    memory: PrototypeMemory
    mean: BodyParams
    networks: dict[int, PMNet]
    options: Evaluate
    workers: int = 1

    @staticmethod
    def load(
        memory: Path,
        models: Path,
        body: Path,
        seeds: list[int],
        options: Evaluate,
        machine: Machine,
    ) -> "Evaluator":
        """Return the evaluator of a run.

        Inference is in float32, with TF32 convolutions on a GPU where the training had them.
        Raises InputError for files that are missing, broken, or do not belong together.
        """
        extra_metrics(options.extra, EXTRA)  # refused before any work is done
        arrays = read_body(body)
        check_regressors(arrays, options.protocols, CHOSEN, body)
        model = BodyModel(arrays)
        prototypes = load_memory(memory, model)
        where = f"{PARAMS}: evaluate.mean"
        check_mean(Path(options.mean), where)
        mean = read_mean(Path(options.mean), model, where)
        device = device_among(machine, precision_of(model_file(models, seeds[0])))
        networks = {s: load_network(model_file(models, s), prototypes).to(device) for s in seeds}
        fixed = model.to(device), prototypes, mean.to(device), networks, options
        return Evaluator(*fixed, workers_of(machine))

    def errors(self, samples: Path, images: Path) -> pd.DataFrame:
        """Return the errors of the samples of a test set, per seed and kind of inference.

        Several processes share the blocks; each returns the whole table, as one process would. Without
        true bodies there is no MPVPE, no distance, and no inference that needs the true body.
        """
        table, pixels = Samples.load(samples), Pixels(images)
        check_images(samples, table, pixels)
        protocol = protocol_of(table.about.dataset, self.options.protocols, CHOSEN)
        rows = measurable_rows(table, pixels.present, protocol, samples)
        first, step = rank_and_world_size()
        mine = rows.split(BLOCK)[first::step]
        device = self.body.faces.device
        ahead = prediction.images_of(pixels, mine, device, self.workers)
        own = [
            self._errors(table.select(block), seen, block, protocol)
            for block, seen in zip(mine, ahead, strict=True)
        ]
        tables: list[pd.DataFrame] = gather_in_order(own)
        return pd.concat(tables, ignore_index=True)

    def _errors(
        self, table: Samples, images: Tensor, rows: Tensor, protocol: Protocol
    ) -> pd.DataFrame:
        """Return the errors of the samples in `table`, which are `rows` of the data set."""
        truth = prediction.truth_of(table, self.body, protocol)
        how = self.options.distance
        distance = prediction.distance_to_mean_mm(truth, self.mean, self.body, how)
        assigned = None if truth.params is None else self.assign(truth.params)
        shown = torch.full_like(rows, -1) if assigned is None else assigned
        tables = []
        for seed, selector in self._selectors.items():
            encoded = prediction.encode(selector.network, images)
            seeds = {"seed": seed, "memory_seed": self.memory.clustering_seed}
            model: Measured | None = (
                None  # the first inference; some others equal it in most samples
            )
            for inference in self._inferences(selector, encoded, assigned):
                measured = self._measure(inference, truth, protocol, model)
                model = model or measured
                parts = table, rows, inference.name, measured.errors, distance, shown
                tables.append(prediction.error_table(*parts, inference.chosen).assign(**seeds))
        return pd.concat(tables, ignore_index=True)

    def _measure(
        self,
        inference: Inference,
        truth: EvaluationTruth,
        protocol: Protocol,
        model: Measured | None,
    ) -> Measured:
        """Return the errors of an inference; those of bodies that `model` predicts too are taken from it."""
        pred, fixed = inference.bodies, (truth, self.body, protocol, self._extra)
        if model is None or inference.rows is not None:
            return Measured(pred, prediction.errors(pred, *fixed, inference.rows))
        other = prediction.differing(pred, model.bodies)
        if not len(other):
            return Measured(pred, model.errors)
        found = prediction.errors(pred, *fixed, of=other)
        merged = {name: old.index_put((other,), found[name]) for name, old in model.errors.items()}
        return Measured(pred, merged)

    def assign(self, params: BodyParams) -> Tensor:
        """Return the nearest prototype of each body, in the space in which the memory was clustered."""
        return assign_exactly(self._space, self.memory.prototypes.to(params.betas.device), params)

    @cached_property
    def _space(self) -> Space:
        return space_of(self.memory.space, self.memory.vertex_weights, self.body)

    @cached_property
    def _extra(self) -> ExtraMetrics:
        return extra_metrics(self.options.extra, EXTRA)

    @cached_property
    def _selectors(self) -> dict[int, Selector]:
        return {
            seed: Selector(network, self.memory, self.body)
            for seed, network in self.networks.items()
        }

    def _inferences(
        self, selector: Selector, encoded: Encoded, assigned: Tensor | None
    ) -> Iterator[Inference]:
        yield from prediction.inferences(selector, encoded, assigned, self.options)
        chosen = encoded.scores.argmax(1)
        yield Inference("mean", self.mean, chosen, torch.zeros_like(chosen))

    def write(
        self, run: str, pairs: list[tuple[Path, Path]], out: Path, more: Mapping[str, Any]
    ) -> None:
        """Write the errors of all test sets, pairs of samples and images, as the errors of `run`.

        `more` is added to the header of the file. The first of several processes writes.
        """
        about = {"run": run, **self.about([samples for samples, _ in pairs]), **more}
        errors = pd.concat([self.errors(*pair) for pair in pairs], ignore_index=True)
        if rank_and_world_size()[0] > 0:
            return
        write_errors(errors.assign(run=run), about, out)
        say(f"{run}: errors of {len(errors)} predictions -> {out}")

    def about(self, samples: list[Path]) -> dict[str, Any]:
        """Return the header of the file of errors: the memory, the protocols and the selection.

        A data set of `evaluate.protocols` that is not evaluated is printed, since it may be a slip of the pen
        that leaves another one to the default.
        """
        names = [Samples.load(file).about.dataset for file in samples]
        for other in sorted(set(self.options.protocols) - {DEFAULT, *names}):
            say(f"{CHOSEN}.{other}: not a set that is evaluated; those are {', '.join(names)}")
        protocols = {name: protocol_of(name, self.options.protocols, CHOSEN) for name in names}
        settings = ("space", "weights", "k", "limb_weight", "max_iterations")
        how = ", distances after the best turn about the vertical axis"
        if missing := [name for name in settings if name not in self.memory.settings]:
            raise InputError(
                f"the memory does not say its {', '.join(missing)}; run the cluster stage again"
            )
        return {
            **{name: self.memory.settings[name] for name in settings},
            "protocol": phrase_of(protocols, gendered=len(self.body.genders) > 0)
            + how * (self.options.distance == "heading_free"),
            "selection": self.options.selection,
        }


def measurable_rows(
    table: Samples, seen: Tensor, protocol: Protocol, file: Path
) -> Int[Tensor, "n"]:
    """Return the rows of the samples that can be evaluated, and print how many cannot, and why.

    A sample needs an image and the truth that the protocol compares with: its body, or its annotated
    joints; in a data set with bodies it needs both. Raises InputError where no sample is left, or where the
    file has another kind of joints.
    """
    left, lacking = seen.clone(), {"no image": ~seen}
    if protocol.truth == "joints":
        _refuse_other_joints(table, protocol, file)
        known = prediction.annotations(table).measurable(protocol.joints, protocol.mpjpe)
        lacking["too few 3D joints"], left = left & ~known, left & known
    if protocol.truth == "body" or table.has_smpl.any():
        lacking["no SMPL parameters"], left = left & ~table.has_smpl, left & table.has_smpl
    for reason, rows in lacking.items():
        if rows.any():
            say(f"{file}: {int(rows.sum())} of {len(table)} samples have {reason}; left out")
    if not left.any():
        raise InputError(
            f"{file}: no sample can be evaluated by the protocol {protocol.name}, which compares with "
            f"the {'annotated 3D joints' if protocol.truth == 'joints' else 'true bodies'}: each lacks "
            f"them or its image; choose another protocol at {CHOSEN}.{table.about.dataset}, such as "
            f"{'spin_neutral' if protocol.truth == 'joints' else _annotated(table)}"
        )
    return left.nonzero()[:, 0]


def _annotated(table: Samples) -> str:
    """Return the protocol that compares with the joints of a file."""
    return "spin_3dhp" if table.about.measured == "j17" else "spin_h36m"


def _refuse_other_joints(table: Samples, protocol: Protocol, file: Path) -> None:
    if (table.about.joints == "smpl24") != (protocol.joints == "smpl24"):
        raise InputError(
            f"{file}: its 3D joints are {table.about.joints}, but the protocol {protocol.name} measures "
            f"{protocol.joints}; choose another one at {CHOSEN}.{table.about.dataset}"
        )


def write_errors(errors: pd.DataFrame, about: dict[str, Any], out: Path) -> None:
    """Write per-sample errors as parquet, with `about` as the header."""
    table = pa.Table.from_pandas(errors, preserve_index=False)
    header = {**(table.schema.metadata or {}), b"pmnet.errors": json.dumps(about).encode()}
    with replacing(out) as partial:
        pq.write_table(table.replace_schema_metadata(header), partial, compression="zstd")
