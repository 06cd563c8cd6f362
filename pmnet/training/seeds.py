"""Training of a run from its files, once a seed, resumed where an earlier process was killed."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from lightning_fabric import Fabric

from pmnet.body import BodyModel
from pmnet.core.checkpoints import claim, held, held_folder, training_key
from pmnet.core.device import Machine
from pmnet.core.distributed import by_first, fabric_of
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet
from pmnet.model.weights import load_memory, model_file, network_config
from pmnet.training.checkpoint import write
from pmnet.training.data import TrainingData, load_training_data
from pmnet.training.log import Log
from pmnet.training.loop import train_model
from pmnet.training.options import Train


def train_seeds(
    samples: list[Path],
    images: list[Path],
    memory: Path,
    body: Path,
    out: Path,
    options: Train,
    machine: Machine,
) -> None:
    """Train one network per seed into the folder `out`: seed_S.pt and seed_S.csv, its log.

    Raises InputError where files do not belong together or another process trains the same run.
    """
    fabric = fabric_of(machine, options.precision)
    with ExitStack() as lock:
        by_first(fabric, lambda: lock.enter_context(held_folder(out)))
        if fabric.is_global_zero:
            _clean(out)
        model = BodyModel.load(body)
        prototypes = load_memory(memory, model)
        data = load_training_data(samples, images, prototypes, model)
        _refuse_uneven(data, options, fabric)
        files = [*samples, *images, memory, body]
        inputs = by_first(fabric, lambda: training_key({}, files))
        for seed in options.seeds:
            log = Log(out / f"seed_{seed}.csv" if fabric.is_global_zero else None)
            _train_seed(seed, inputs, prototypes, model, data, out, options, machine, fabric, log)


def _train_seed(
    seed: int,
    inputs: str,
    memory: PrototypeMemory,
    body: BodyModel,
    data: TrainingData,
    out: Path,
    options: Train,
    machine: Machine,
    fabric: Fabric,
    log: Log,
) -> None:
    settings = {**asdict(options), "seeds": seed}
    key = training_key({**settings, "inputs": inputs}, [])
    with ExitStack() as lock:
        checkpoint = by_first(fabric, lambda: _claimed(out, key, lock))
        with fabric.rank_zero_first(local=True):  # who may fetch weights for the others
            fabric.seed_everything(seed, verbose=False)
            network = build_network(options, memory)
        train_model(network, data, memory, body, options, machine, seed, fabric, checkpoint, log)
        if fabric.is_global_zero:
            _write(network, settings, body, model_file(out, seed))


def build_network(options: Train, memory: PrototypeMemory) -> PMNet:
    """Return an untrained network on a memory; `options.weights` are those of its encoder."""
    return PMNet(network_config(asdict(options)), memory, options.weights)


def _claimed(out: Path, key: str, lock: ExitStack) -> Path:
    checkpoint = lock.enter_context(held(key))
    claim(out, key)
    return checkpoint


def _refuse_uneven(data: TrainingData, options: Train, fabric: Fabric) -> None:
    size = min(options.batch_size, int(data.images.present.sum()))
    if size % fabric.world_size:
        raise InputError(
            f"train.batch_size is {options.batch_size}, of {len(data)} samples: {fabric.world_size} "
            f"devices cannot share a batch of {size} evenly; take another number of either"
        )


def _clean(out: Path) -> None:
    """Delete what killed trainings had half written: DVC takes the whole folder."""
    for partial in out.glob(".*.partial"):
        partial.unlink()


def _write(network: PMNet, settings: dict[str, object], body: BodyModel, path: Path) -> None:
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write({"state": state, "settings": settings, "body": body.sha256}, path)
