"""Training of a run from its files, once a seed, resumed where an earlier process was killed."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from pmnet.body import BodyModel
from pmnet.checkpoints import held, path_of, training_key
from pmnet.errors import InputError
from pmnet.fabric import fabric_of
from pmnet.files import replacing
from pmnet.network import PMNet
from pmnet.params import Machine, Train
from pmnet.runs import build_network, load_memory, model_file
from pmnet.training.data import load_training_data
from pmnet.training.log import Log
from pmnet.training.loop import train_model

LOG_NAME = "log.csv"


def train_seeds(
    samples: list[Path],
    images: list[Path],
    memory: Path,
    body: Path,
    out: Path,
    options: Train,
    machine: Machine,
) -> None:
    """Train one network a seed into the folder `out`: seed_S.pt and log.csv.

    Raises InputError where files do not belong together or another process trains the same run.
    """
    fabric = fabric_of(machine)
    if options.batch_size % fabric.world_size:
        raise InputError(
            f"train.batch_size is {options.batch_size}: {fabric.world_size} devices cannot share it"
        )
    model = BodyModel.load(body)
    prototypes = load_memory(memory, model)
    data = load_training_data(samples, images, prototypes, model)
    log = Log(out / LOG_NAME if fabric.is_global_zero else None)
    for seed in options.seeds:
        settings = {**asdict(options), "seeds": seed}
        key = training_key(settings, [*samples, *images, memory, body])
        with held(key) if fabric.is_global_zero else nullcontext():
            fabric.barrier()
            fabric.seed_everything(seed, verbose=False)
            network = build_network(options, prototypes)
            train_model(
                network, data, prototypes, model, options, machine, seed, fabric, path_of(key), log
            )
            if fabric.is_global_zero:
                _write(network, settings, model, model_file(out, seed))
                path_of(key).unlink(missing_ok=True)


def _write(network: PMNet, settings: dict[str, object], body: BodyModel, path: Path) -> None:
    with replacing(path) as partial:
        state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        torch.save({"state": state, "settings": settings, "body": body.sha256}, partial)
