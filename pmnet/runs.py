"""A run on disk: its memory, its training data, its weights, one file a seed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pmnet.body import BodyModel
from pmnet.checkpoints import held, training_key
from pmnet.errors import InputError
from pmnet.files import replacing
from pmnet.images.pixels import Pixels
from pmnet.machine import fabric_of
from pmnet.memory.building import training_samples
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.network import PMNet
from pmnet.params import Machine, Train
from pmnet.samples import Samples
from pmnet.training import Log, TrainingData, train_model

LOG_NAME = "log.csv"


def model_file(folder: Path, seed: int) -> Path:
    """Return where the weights of a seed are."""
    return folder / f"seed_{seed}.pt"


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
            train_model(network, data, model, options, seed, fabric, checkpoint, log)
            with replacing(model_file(out, seed)) as partial:
                state = {name: value.cpu() for name, value in network.state_dict().items()}
                torch.save({"state": state, "settings": settings, "body": model.sha256}, partial)
            checkpoint.unlink(missing_ok=True)
    log.close()


def build_network(options: Train, memory: PrototypeMemory) -> PMNet:
    """Return an untrained network on a memory."""
    return PMNet(options.encoder, options.pooling, options.hidden, options.regressor_steps, memory)


def load_network(path: Path, memory: PrototypeMemory) -> PMNet:
    """Return a trained network; raises InputError where the file is broken or of another memory."""
    saved = read_model_file(path)
    settings = saved["settings"]
    shape = {k: settings[k] for k in ("encoder", "pooling", "hidden", "regressor_steps")}
    network = PMNet(**shape, memory=memory)
    rows = saved["state"]["memory"]
    if rows.shape != network.memory.shape or not torch.allclose(rows, network.memory, atol=1e-5):
        raise InputError(f"{path}: trained on another prototype memory than the one given")
    network.load_state_dict(saved["state"])
    return network.eval()


def read_model_file(path: Path) -> dict[str, Any]:
    """Return `state`, `settings` and `body` of a file of weights; no code in it is run."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of weights; run the train stage first") from None
    except Exception as error:  # torch raises many kinds for a broken file
        raise InputError(f"{path}: not a readable file of weights ({error})") from None
    if not isinstance(saved, dict) or {"state", "settings", "body"} - set(saved):
        raise InputError(f"{path}: not weights that the train stage wrote")
    return saved


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


def load_memory(path: Path, body: BodyModel) -> PrototypeMemory:
    """Return the memory in a file; raises InputError where it is of another body model."""
    memory = PrototypeMemory.load(path)
    if memory.body != body.sha256:
        raise InputError(f"{path}: made with another body model than the one given; cluster again")
    return memory


def check_images(file: Path, table: Samples, pixels: Pixels) -> None:
    """Raise InputError where a data set has not one image a sample."""
    if len(table) != len(pixels):
        raise InputError(
            f"{file}: {len(table)} samples, but {len(pixels)} images; run the images stage again"
        )
