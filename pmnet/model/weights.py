"""A run on disk: its memory, and for each seed its weights and the log of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.core import params
from pmnet.core.device import Precision
from pmnet.core.errors import InputError
from pmnet.core.header import read_header
from pmnet.core.torch_files import load_torch
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import PARAMETERS, NetworkConfig, PMNet

CURE: Final = "run the train stage again"


@dataclass(frozen=True)
class _Header:
    """What a file of weights holds."""

    state: dict[str, Any]
    settings: dict[str, Any]
    body: str


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


def network_config(path: Path, settings: Mapping[str, Any]) -> NetworkConfig:
    """Return the settings of a network, out of all settings of its training in the file `path`.

    Raises InputError where one is missing or out of its range.
    """
    known = {"estimator": "plain", **settings}  # files of weights from before there was another one
    config: NetworkConfig = read_header(
        NetworkConfig, known, path, "its settings are damaged", CURE
    )
    return config


def load_network(path: Path, memory: PrototypeMemory) -> PMNet:
    """Return a trained network on its memory.

    Raises InputError where the file is broken, or was trained on another memory.
    """
    saved = read_model_file(path)
    network = PMNet(network_config(path, saved["settings"]), memory)
    rows = saved["state"]["memory"]
    if rows.shape != network.memory.shape or not torch.allclose(rows, network.memory, atol=1e-5):
        raise InputError(f"{path}: trained on another prototype memory than the given one")
    try:
        network.load_state_dict(saved["state"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not the weights of its settings ({reason:.200}); {CURE}"
        ) from None
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
        saved = load_torch(path, "file of weights")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of weights; run the train stage first") from None
    fault = "not a file of weights of the train stage"
    read_header(_Header, saved, path, fault, CURE)
    strange = [name for name, value in saved["state"].items() if not isinstance(value, Tensor)]
    if strange or not {"memory", "neck.0.weight", "neck.2.weight"} <= set(saved["state"]):
        raise InputError(f"{path}: {fault} (state lacks tensors); {CURE}")
    config = network_config(path, saved["settings"])
    if not _fits(saved["state"], config):
        raise InputError(f"{path}: its settings are not those of its weights; {CURE}")
    contents: dict[str, Any] = saved
    return contents


def _fits(state: Mapping[str, Tensor], config: NetworkConfig) -> bool:
    """Return whether the shapes are those of these settings: a network of others may be huge."""
    k, features = len(state["memory"]), state["neck.0.weight"].shape
    shapes = {"memory": (k, PARAMETERS), "neck.2.weight": (config.hidden, config.hidden)}
    for head, width, inputs, outputs in (
        ("classifier", config.classifier_hidden, config.hidden, k),
        ("estimator", config.estimator_hidden, config.hidden + PARAMETERS, PARAMETERS),
    ):
        inner = {f"{head}.0.weight": (width, inputs), f"{head}.2.weight": (outputs, width)}
        shapes |= inner if width else {f"{head}.0.weight": (outputs, inputs)}
    right = all(name in state and state[name].shape == shape for name, shape in shapes.items())
    return right and len(features) == 2 and features[1] % config.pooling**2 == 0


def load_memory(path: Path, body: BodyModel) -> PrototypeMemory:
    """Return the memory in a file; raises InputError where it was made with another body model."""
    memory = PrototypeMemory.load(path)
    weights = memory.vertex_weights
    if memory.body != body.sha256 or (
        weights is not None and len(weights) != len(body.lbs_weights)
    ):
        raise InputError(
            f"{path}: made with another body model than the given one; run the cluster stage again"
        )
    return memory
