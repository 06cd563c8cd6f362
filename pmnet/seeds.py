"""Training of a run from its files, once a seed, resumed where an earlier process was killed."""

from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric

from pmnet.body import BodyModel
from pmnet.checkpoints import held, training_key
from pmnet.errors import InputError
from pmnet.files import replacing
from pmnet.images.pixels import Pixels
from pmnet.machine import device_of
from pmnet.memory.building import training_samples
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.params import Machine, Train
from pmnet.runs import build_network, check_images, load_memory, model_file
from pmnet.samples import Samples
from pmnet.training import Log, TrainingData, train_model

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
    model = BodyModel.load(body)
    prototypes = load_memory(memory, model)
    data = load_training_data(samples, images, prototypes, model)
    fabric = fabric_of(machine)
    log = Log(out / LOG_NAME)
    for seed in options.seeds:
        settings = {**asdict(options), "seeds": seed}
        with held(training_key(settings, [*samples, *images, memory, body])) as checkpoint:
            fabric.seed_everything(seed, verbose=False)
            network = build_network(options, prototypes)
            train_model(network, data, prototypes, model, options, seed, fabric, checkpoint, log)
            with replacing(model_file(out, seed)) as partial:
                state = {name: value.cpu() for name, value in network.state_dict().items()}
                torch.save({"state": state, "settings": settings, "body": model.sha256}, partial)
            checkpoint.unlink(missing_ok=True)


def load_training_data(
    samples: list[Path], images: list[Path], memory: PrototypeMemory, body: BodyModel
) -> TrainingData:
    """Return the training samples with images and prototypes, checked to belong together."""
    pixels = [Pixels(path) for path in images]
    if len(samples) != len(images):
        raise InputError(f"{len(samples)} files of samples, but {len(images)} of images")
    for file, source in zip(samples, pixels, strict=True):
        check_images(file, Samples.load(file), source)
    table = training_samples(samples, body)
    if len(memory.assignments) != len(table):
        raise InputError(
            f"the memory assigns {len(memory.assignments)} samples, the files hold {len(table)}; "
            "run the cluster stage again"
        )
    return TrainingData.of(table, pixels, memory.assignments)


def fabric_of(machine: Machine) -> Fabric:
    """Return the training engine for one device."""
    device = device_of(machine)
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    devices = [device.index] if device.index is not None else 1
    return Fabric(accelerator=accelerator, devices=devices, precision=machine.precision)
