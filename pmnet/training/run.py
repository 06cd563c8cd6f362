"""Everything that one training works with."""

from dataclasses import asdict, dataclass

from lightning_fabric import Fabric

from pmnet.body import BodyModel
from pmnet.core.device import Machine
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet
from pmnet.model.weights import network_config
from pmnet.training.data import TrainingData
from pmnet.training.options import Train


@dataclass(frozen=True)
class TrainingRun:
    """The data, settings and devices of the training of one seed."""

    data: TrainingData
    memory: PrototypeMemory
    body: BodyModel
    options: Train
    machine: Machine
    fabric: Fabric
    seed: int


def build_network(options: Train, memory: PrototypeMemory) -> PMNet:
    """Return an untrained network; its weights are drawn from torch's global random numbers.

    Raises InputError for an unknown encoder, or for weights of another encoder.
    """
    return PMNet(network_config(asdict(options)), memory, options.weights)
