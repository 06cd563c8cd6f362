"""A small network on a memory of random bodies."""

import torch
from bodies import random_bodies

from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import NetworkConfig, PMNet

K = 3


def memory_of(k: int = K) -> PrototypeMemory:
    return PrototypeMemory(
        prototypes=random_bodies(k),
        assignments=torch.arange(6) % k,
        distances=torch.zeros(6),
        vertex_weights=None,
        camera=torch.tensor([0.9, 0.1, -0.2]),
        body="abc",
    )


def config_of(pooling: int = 1, regressor_steps: int = 3) -> NetworkConfig:
    return NetworkConfig("squeezenet1_1", pooling, 16, 0, 0, "plain", regressor_steps, "assigned")


def network_of(k: int = K, pooling: int = 1, regressor_steps: int = 3) -> PMNet:
    torch.manual_seed(0)
    return PMNet(config_of(pooling, regressor_steps), memory_of(k))
