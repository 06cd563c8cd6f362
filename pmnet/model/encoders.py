"""The encoder: a torchvision network up to its last feature map."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.torch_files import load_torch

TRIED_PX = 64
HEADS = ("avgpool", "fc", "classifier")  # what comes after the last feature map


def build_encoder(name: str, pooling: int, weights: str = "") -> nn.Sequential:
    """Return a torchvision network up to its last feature map, which is pooled to a grid and flattened.

    `pooling` is the side of the grid: 1 is the global mean of a ResNet; a small encoder learns poses
    sooner with a finer grid. `weights` is a file, the name of weights of torchvision (downloaded once), or
    empty for random weights. Raises InputError for an unknown network, or weights of another network.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"train.encoder: torchvision has no {name!r}; known are {', '.join(known)}"
        )
    network = torchvision.models.get_model(name, weights=None)
    if weights:
        _load(network, name, weights)
    trunk = [child for child_name, child in network.named_children() if child_name not in HEADS]
    return nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(pooling), nn.Flatten())


def width_of(encoder: nn.Module) -> int:
    """Return the number of features of an encoder, by trying it; raises InputError where it fails."""
    try:
        with torch.no_grad():
            features = encoder.eval()(torch.zeros(1, 3, TRIED_PX, TRIED_PX))
        width = int(features.shape[1])
    except Exception as error:  # each kind of network fails in its own way
        raise InputError(
            f"train.encoder: this network does not encode images of {TRIED_PX} px "
            f"({type(error).__name__}: {error!s:.200}); take one of convolutions, such as resnet50"
        ) from None
    encoder.train()
    return width


def _load(network: nn.Module, name: str, weights: str) -> None:
    """Load all weights except the head's."""
    state = _read(Path(weights)) if Path(weights).exists() else _fetched(name, weights)
    own = {key for key in network.state_dict() if key.split(".")[0] not in HEADS}
    if missing := sorted(own - set(state)):
        raise InputError(
            f"train.weights: {weights}: not the weights of {name}: {missing[0]} and "
            f"{len(missing) - 1} more are missing; give a state_dict of torchvision's {name}"
        )
    try:
        network.load_state_dict({key: state[key] for key in own}, strict=False)
    except RuntimeError as error:
        raise InputError(f"train.weights: {weights}: not the weights of {name} ({error})") from None


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state = load_torch(path, "file")
    except InputError as error:
        raise InputError(f"train.weights: {error}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    named = state.items() if isinstance(state, dict) else ()
    return {str(key).removeprefix("module."): v for key, v in named if isinstance(v, Tensor)}


def _fetched(name: str, weights: str) -> Mapping[str, Tensor]:
    kinds: Any = torchvision.models.get_model_weights(name)
    names = [kind.name for kind in kinds]
    if weights not in (*names, "DEFAULT"):
        raise InputError(
            f"train.weights: {weights!r} is no file and none of torchvision's weights of {name}: "
            f"{', '.join(names)}"
        )
    kind = kinds[weights]
    say(f"weights of {name}: torchvision's {kind.name}, from its cache or from {kind.url}")
    state: Mapping[str, Tensor] = kind.get_state_dict(progress=True)
    return state
