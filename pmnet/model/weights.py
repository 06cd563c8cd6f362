"""A run on disk: its memory, and for each seed its weights and the log of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pmnet.body import BodyModel
from pmnet.core import params
from pmnet.core.device import Precision
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import NetworkConfig, PMNet


def model_file(folder: Path, seed: int) -> Path:
    """Return the path of the weights of a seed."""
    return folder / f"seed_{seed}.pt"


def log_file(folder: Path, seed: int) -> Path:
    """Return the path of the training log of a seed."""
    return folder / f"seed_{seed}.csv"


def remove_other_seeds(folder: Path, seeds: Sequence[int]) -> None:
    """Delete the weights and logs in `folder` of all seeds but these."""
    kept = {path(folder, seed) for seed in seeds for path in (model_file, log_file)}
    for path in [*folder.glob("seed_*.pt"), *folder.glob("seed_*.csv")]:
        if path not in kept:
            path.unlink()


def network_config(settings: Mapping[str, Any]) -> NetworkConfig:
    """Return the settings of a network, picked out of all settings of its training."""
    known = {"estimator": "plain", **settings}  # files of weights from before there was another one
    return NetworkConfig(**{field.name: known[field.name] for field in fields(NetworkConfig)})


def load_network(path: Path, memory: PrototypeMemory) -> PMNet:
    """Return a trained network on its memory.

    Raises InputError where the file is broken, or was trained on another memory.
    """
    saved = read_model_file(path)
    network = PMNet(network_config(saved["settings"]), memory)
    rows = saved["state"]["memory"]
    if rows.shape != network.memory.shape or not torch.allclose(rows, network.memory, atol=1e-5):
        raise InputError(f"{path}: trained on another prototype memory than the given one")
    network.load_state_dict(saved["state"])
    return network.eval()


def precision_of(path: Path) -> Precision:
    """Return the precision that a network was trained in.

    Files from before the precision was noted count as float32. Raises InputError for a broken file.
    """
    settings = read_model_file(path)["settings"]
    found: Precision = params.parse(
        Precision, settings.get("precision", "32-true"), f"{path}: settings.precision"
    )
    return found


def read_model_file(path: Path) -> dict[str, Any]:
    """Return `state`, `settings` and `body` of a file of weights, without running code in it.

    Raises InputError where the file is missing, broken, or not one that the train stage wrote.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of weights; run the train stage first") from None
    except Exception as error:  # torch raises many kinds for a broken file
        raise InputError(f"{path}: not a readable file of weights ({error})") from None
    if not isinstance(saved, dict) or {"state", "settings", "body"} - set(saved):
        raise InputError(f"{path}: not a file of weights of the train stage")
    return saved


def load_memory(path: Path, body: BodyModel) -> PrototypeMemory:
    """Return the memory in a file; raises InputError where it was made with another body model."""
    memory = PrototypeMemory.load(path)
    if memory.body != body.sha256:
        raise InputError(
            f"{path}: made with another body model than the given one; run the cluster stage again"
        )
    return memory
