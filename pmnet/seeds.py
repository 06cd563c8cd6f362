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
from pmnet.memory.building import all_samples
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
    """Return all samples with their images, checked to belong together.

    The memory's assignments are those of the samples with SMPL, in order; the others have none.
    """
    pixels = [Pixels(path) for path in images]
    if len(samples) != len(images):
        raise InputError(f"{len(samples)} files of samples, but {len(images)} of images")
    sizes = []
    for file, source in zip(samples, pixels, strict=True):
        part = Samples.load(file)
        check_images(file, part, source)
        sizes.append((part.about.dataset, len(part)))
    table = all_samples(samples, body)
    assigned = int(table.has_smpl.sum())
    if len(memory.assignments) != assigned:
        raise InputError(
            f"the memory assigns {len(memory.assignments)} samples, the files hold {assigned}; "
            "run the cluster stage again"
        )
    prototypes = torch.full((len(table),), -1)
    prototypes[table.has_smpl] = memory.assignments
    seen = torch.cat([source.present for source in pixels])
    return TrainingData.of(table, pixels, prototypes, seen, sizes)


def fabric_of(machine: Machine) -> Fabric:
    """Return the training engine for one device."""
    device = device_of(machine)
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    devices = [device.index] if device.index is not None else 1
    return Fabric(accelerator=accelerator, devices=devices, precision=machine.precision)
