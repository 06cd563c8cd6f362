"""Training of one seed of a run from its files, resumed where an earlier process was killed."""

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pmnet.body import BodyModel
from pmnet.core.checkpoints import claim, held, held_seed, training_key
from pmnet.core.device import Machine
from pmnet.core.distributed import by_first, fabric_of
from pmnet.core.errors import InputError
from pmnet.core.files import remove_partials
from pmnet.core.progress import say
from pmnet.core.torch_files import save_torch
from pmnet.model.network import PMNet
from pmnet.model.weights import load_memory, log_file, model_file
from pmnet.training.data import load_training_data
from pmnet.training.log import write_log
from pmnet.training.loop import train_model
from pmnet.training.options import Train
from pmnet.training.run import TrainingRun, build_network


def train_seed(
    samples: list[Path],
    images: list[Path],
    memory: Path,
    body: Path,
    out: Path,
    seed: int,
    options: Train,
    machine: Machine,
) -> None:
    """Train the network of `seed` into the folder `out`: seed_S.pt, and its log seed_S.csv.

    Raises InputError where the files do not belong together, or where another process trains this seed
    into this folder or by these settings.
    """
    fabric = fabric_of(machine, options.precision)
    with ExitStack() as locks:
        by_first(fabric, lambda: locks.enter_context(held_seed(out, seed)))
        model = BodyModel.load(body)
        prototypes = load_memory(memory, model)
        data = load_training_data(samples, images, prototypes, model)
        run = TrainingRun(data, prototypes, model, options, machine, fabric, seed)
        _refuse_uneven(run)
        settings = {**asdict(options), "seeds": seed}
        files = [*samples, *images, memory, body]
        checkpoint = by_first(fabric, lambda: _claimed(out, seed, settings, files, locks))
        with fabric.rank_zero_first(local=True):  # the first may download weights for the others
            fabric.seed_everything(seed, verbose=False)
            network = build_network(options, prototypes)
        train_model(network, run, checkpoint, partial(write_log, log_file(out, seed)))
        if fabric.is_global_zero:
            _write(network, settings, model, model_file(out, seed))
            say(f"seed {seed}: weights in {model_file(out, seed)}, log in {log_file(out, seed)}")


def _claimed(
    out: Path, seed: int, settings: dict[str, object], files: list[Path], locks: ExitStack
) -> Path:
    """Return the locked checkpoint of this work, after deleting what a killed process half wrote."""
    for path in (model_file(out, seed), log_file(out, seed)):
        remove_partials(path)
    key = training_key(settings, files)
    checkpoint = locks.enter_context(held(key))
    claim(out, seed, key)
    return checkpoint


def _refuse_uneven(run: TrainingRun) -> None:
    world, present = run.fabric.world_size, int(run.data.images.present.sum())
    size = min(run.options.batch_size, present)
    if size % world:
        raise InputError(
            f"train.batch_size is {run.options.batch_size} with {present} training images: {world} devices "
            f"cannot share a batch of {size} evenly; choose another batch size or number of devices"
        )


def _write(network: PMNet, settings: dict[str, object], body: BodyModel, path: Path) -> None:
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    save_torch({"state": state, "settings": settings, "body": body.sha256}, path)
