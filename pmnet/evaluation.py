"""Evaluation of a run: the errors of each sample, seed and test set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pmnet import prediction
from pmnet.body import BodyModel, BodyParams
from pmnet.files import replacing
from pmnet.images.pixels import Pixels
from pmnet.machine import device_of
from pmnet.memory.assignment import assign
from pmnet.memory.building import space_of
from pmnet.memory.points import Points
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.metrics import Protocol
from pmnet.network import PMNet
from pmnet.params import Evaluate, Machine
from pmnet.runs import check_images, load_memory, load_network, model_file
from pmnet.samples import Samples


@dataclass(frozen=True)
class Evaluator:
    """A run's memory, its trained networks by seed, and what they are measured against and with."""

    body: BodyModel
    memory: PrototypeMemory
    mean: BodyParams
    networks: dict[int, PMNet]
    options: Evaluate
    cache_gib: float

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
        """Return the evaluator of files; `single` is the memory that holds the mean body."""
        device = device_of(machine)
        model = BodyModel.load(body).to(device)
        prototypes = load_memory(memory, model)
        mean = load_memory(single, model).prototypes.to(device)
        networks = {s: load_network(model_file(models, s), prototypes).to(device) for s in seeds}
        return Evaluator(model, prototypes, mean, networks, options, machine.cache_gib)

    def errors(self, samples: Path, images: Path) -> pd.DataFrame:
        """Return the errors of all samples of a test set, by seed and by kind of inference."""
        table, pixels = Samples.load(samples), Pixels(images)
        check_images(samples, table, pixels)
        params = table.body_params().to(self.body.faces.device)
        truth = prediction.pose(params, self.body)
        distance = prediction.distance_to_mean_mm(truth, self.mean, self.body)
        assigned = self.assign(params)
        protocol = Protocol(self.options.alignment)
        rows = []
        for seed, inference, pred, chosen in self._predictions(pixels, assigned):
            found = prediction.errors(pred, truth, self.body, protocol)
            parts = table, inference, found, distance, assigned, chosen
            rows.append(prediction.error_table(*parts).assign(seed=seed))
        return pd.concat(rows, ignore_index=True)

    def assign(self, params: BodyParams) -> Tensor:
        """Return the nearest prototype of each body, in the space that the memory was made in."""
        space = space_of(self.memory.vertex_weights, self.body)
        points = Points(space, params, self.cache_gib)
        return assign(points, self.memory.prototypes.to(params.betas.device))[0]

    def _predictions(
        self, pixels: Pixels, assigned: Tensor
    ) -> Iterator[tuple[int, str, BodyParams, Tensor]]:
        device = self.body.faces.device
        for seed, network in self.networks.items():
            encoded = prediction.encode(network, pixels, device)
            chosen = encoded.scores.argmax(1)
            for inference, pred in prediction.starts(
                network, encoded, assigned, self.options.selection
            ):
                yield seed, inference, pred, chosen
            yield seed, "mean", self.mean[torch.zeros_like(chosen)], chosen

    def about(self) -> dict[str, Any]:
        """Return what was evaluated and how, as error files say it of themselves."""
        settings = ("space", "weights", "k", "limb_weight", "max_iterations")
        return {
            **{name: self.memory.settings[name] for name in settings},
            "protocol": str(Protocol(self.options.alignment)),
            "selection": self.options.selection,
        }


def write_errors(errors: pd.DataFrame, about: dict[str, Any], out: Path) -> None:
    """Write per-sample errors with what was evaluated and how, as parquet."""
    table = pa.Table.from_pandas(errors, preserve_index=False)
    header = {**(table.schema.metadata or {}), b"pmnet.errors": json.dumps(about).encode()}
    with replacing(out) as partial:
        pq.write_table(table.replace_schema_metadata(header), partial, compression="zstd")
