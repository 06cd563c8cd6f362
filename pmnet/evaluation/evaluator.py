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

from pmnet.body import BodyModel, BodyParams
from pmnet.core.device import Machine
from pmnet.core.distributed import device_among, gather_in_order, rank_and_world_size
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS
from pmnet.data.samples import Samples
from pmnet.evaluation import prediction
from pmnet.evaluation.extra import ExtraMetrics, extra_metrics
from pmnet.evaluation.metrics import Protocol, describe
from pmnet.evaluation.options import Evaluate
from pmnet.images.file import Pixels, check_images
from pmnet.memory.nearest import assign_exactly
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import Space, space_of
from pmnet.model.network import PMNet
from pmnet.model.selection import Selector
from pmnet.model.weights import load_memory, load_network, model_file, precision_of

EXTRA = f"{PARAMS}: evaluate.extra"  # the section that names extra metrics
BLOCK = 1024  # samples that one process works on at a time; each has 82 kB of true vertices


@dataclass(frozen=True)
class Evaluator:
    """The memory and the trained networks of a run, the mean body, and the settings of evaluation."""

    body: BodyModel
    memory: PrototypeMemory
    mean: BodyParams
    networks: dict[int, PMNet]
    options: Evaluate

    @staticmethod
    def load(
        memory: Path,
        single: Path,
        models: Path,
        body: Path,
        seeds: list[int],
        options: Evaluate,
        machine: Machine,
    ) -> "Evaluator":
        """Return the evaluator of a run; `single` is the memory that holds the mean body.

        Inference is in the precision of the training. Raises InputError for files that are missing,
        broken, or do not belong together.
        """
        extra_metrics(options.extra, EXTRA)  # refused before any work is done
        model = BodyModel.load(body)
        prototypes, mean = load_memory(memory, model), load_memory(single, model).prototypes
        device = device_among(machine, precision_of(model_file(models, seeds[0])))
        networks = {s: load_network(model_file(models, s), prototypes).to(device) for s in seeds}
        return Evaluator(model.to(device), prototypes, mean.to(device), networks, options)

    def errors(self, samples: Path, images: Path) -> pd.DataFrame:
        """Return the errors of the samples of a test set, per seed and kind of inference.

        Several processes share the blocks; each returns the whole table, as one process would. Without
        true bodies there is no MPVPE, no distance, and no inference that needs the true body.
        """
        table, pixels = Samples.load(samples), Pixels(images)
        check_images(samples, table, pixels)
        protocol = Protocol(self.options.alignment, table.about.measured)
        rows = measurable_rows(table, pixels.present, protocol, samples)
        first, step = rank_and_world_size()
        mine = rows.split(BLOCK)[first::step]
        own = [self._errors(table.select(b), pixels, b, protocol) for b in mine]
        tables: list[pd.DataFrame] = gather_in_order(own)
        return pd.concat(tables, ignore_index=True)

    def _errors(
        self, table: Samples, pixels: Pixels, rows: Tensor, protocol: Protocol
    ) -> pd.DataFrame:
        """Return the errors of the samples in `table`, whose images are `rows`."""
        truth = prediction.truth_of(table, self.body, protocol)
        distance = prediction.distance_to_mean_mm(truth, self.mean, self.body)
        assigned = None if truth.bodies is None else self.assign(truth.bodies.params)
        shown = torch.full_like(rows, -1) if assigned is None else assigned
        tables = []
        for seed, inference, pred, chosen in self._predictions(pixels, rows, assigned):
            errors = prediction.errors(pred, truth, self.body, protocol, self._extra)
            parts = table, rows, inference, errors, distance, shown, chosen
            tables.append(prediction.error_table(*parts).assign(seed=seed))
        return pd.concat(tables, ignore_index=True)

    def assign(self, params: BodyParams) -> Tensor:
        """Return the nearest prototype of each body, in the space in which the memory was clustered."""
        return assign_exactly(self._space, self.memory.prototypes.to(params.betas.device), params)

    @cached_property
    def _space(self) -> Space:
        return space_of(self.memory.space, self.memory.vertex_weights, self.body)

    @cached_property
    def _extra(self) -> ExtraMetrics:
        return extra_metrics(self.options.extra, EXTRA)

    def _predictions(
        self, pixels: Pixels, rows: Tensor, assigned: Tensor | None
    ) -> Iterator[tuple[int, str, BodyParams, Tensor]]:
        device = self.body.faces.device
        for seed, network in self.networks.items():
            encoded = prediction.encode(network, pixels, rows, device)
            selector = Selector(network, self.memory, self.body)
            for inference in prediction.inferences(selector, encoded, assigned, self.options):
                yield seed, *inference
            chosen = encoded.scores.argmax(1)
            yield seed, "mean", self.mean[torch.zeros_like(chosen)], chosen

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
        """Return the header of the file of errors: the memory, the protocol and the selection."""
        measured = [Samples.load(file).about.measured for file in samples]
        protocols = [Protocol(self.options.alignment, joints) for joints in measured]
        settings = ("space", "weights", "k", "limb_weight", "max_iterations")
        if missing := [name for name in settings if name not in self.memory.settings]:
            raise InputError(
                f"the memory does not say its {', '.join(missing)}; run the cluster stage again"
            )
        return {
            **{name: self.memory.settings[name] for name in settings},
            "protocol": describe(protocols, gendered=len(self.body.genders) > 0),
            "selection": self.options.selection,
        }


def measurable_rows(
    table: Samples, seen: Tensor, protocol: Protocol, file: Path
) -> Int[Tensor, "n"]:
    """Return the rows of the samples that can be evaluated, and print how many cannot, and why.

    A sample needs an image and a body; in a data set without bodies it needs an image and 3D joints.
    Raises InputError where no sample is left.
    """
    bodies = table.has_smpl
    truth = bodies if bodies.any() else prediction.annotated(table, protocol)
    lacking = "no SMPL parameters" if bodies.any() else "too few 3D joints"
    rows = (truth & seen).nonzero()[:, 0]
    for reason, count in (("no image", ~seen), (lacking, seen & ~truth)):
        if count.any():
            say(f"{file}: {int(count.sum())} of {len(table)} samples have {reason}; left out")
    if not len(rows):
        raise InputError(
            f"{file}: no sample can be evaluated: each lacks its image, or SMPL parameters and 3D "
            "joints; choose another file for this test set"
        )
    return rows


def write_errors(errors: pd.DataFrame, about: dict[str, Any], out: Path) -> None:
    """Write per-sample errors as parquet, with `about` as the header."""
    table = pa.Table.from_pandas(errors, preserve_index=False)
    header = {**(table.schema.metadata or {}), b"pmnet.errors": json.dumps(about).encode()}
    with replacing(out) as partial:
        pq.write_table(table.replace_schema_metadata(header), partial, compression="zstd")
