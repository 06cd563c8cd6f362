"""A run on disk: its memory and its weights, one file a seed."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PMNet, NetworkConfig


def model_file(folder: Path, seed: int) -> Path:
    """Return where the weights of a seed are."""
    return folder / f"seed_{seed}.pt"


def network_config(settings: Mapping[str, Any]) -> NetworkConfig:
    """Return the settings of a network, picked out of all settings of its training."""
    return NetworkConfig(**{field.name: settings[field.name] for field in fields(NetworkConfig)})


def load_network(path: Path, memory: PrototypeMemory) -> PMNet:
    """Return a trained network; raises InputError where the file is broken or of another memory."""
    saved = read_model_file(path)
    network = PMNet(network_config(saved["settings"]), memory)
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


def load_memory(path: Path, body: BodyModel) -> PrototypeMemory:
    """Return the memory in a file; raises InputError where it is of another body model."""
    memory = PrototypeMemory.load(path)
    if memory.body != body.sha256:
        raise InputError(f"{path}: made with another body model than the one given; cluster again")
    return memory
