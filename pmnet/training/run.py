"""Everything that one training works with."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pmnet.body import BodyModel
from pmnet.core.device import Machine
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import NetworkConfig, PMNet
from pmnet.training.data import TrainingData
from pmnet.training.options import Train

if TYPE_CHECKING:
    import lightning_fabric


@dataclass(frozen=True)
class TrainingRun:
    """The data, settings and devices of the training of one seed."""

    data: TrainingData
    memory: PrototypeMemory
    body: BodyModel
    options: Train
    machine: Machine
    fabric: "lightning_fabric.Fabric"
    seed: int


def build_network(options: Train, memory: PrototypeMemory) -> PMNet:
    """Return an untrained network; its weights are drawn from torch's global random numbers.

    Raises InputError for an unknown encoder, or for weights of another encoder.
    """
    config = NetworkConfig(**{f.name: getattr(options, f.name) for f in fields(NetworkConfig)})
    return PMNet(config, memory, options.weights)
