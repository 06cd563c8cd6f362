"""The encoder: a network of torchvision, or an EfficientNet-Lite, up to its last feature map."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.torch_files import load_torch
from pmnet.model import lite

TRIED_PX = 64
HEADS = ("avgpool", "fc", "classifier")  # what comes after the last feature map


def build_encoder(name: str, pooling: int, weights: str = "") -> nn.Sequential:
    """Return a network up to its last feature map, which is pooled to a grid and flattened.

    `pooling` is the side of the grid: 1 is the global mean of a ResNet; a small encoder learns poses
    sooner with a finer grid. `weights` is a file, the name of weights of torchvision (downloaded once),
    `imagenet` for the packaged weights of an EfficientNet-Lite, or empty for random weights. Raises
    InputError for an unknown network, weights of another network, or a package that is missing.
    """
    trunk = _lite(name, weights) if name in lite.NAMES else _of_torchvision(name, weights)
    return nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(pooling), nn.Flatten())


def _of_torchvision(name: str, weights: str) -> list[nn.Module]:
    import torchvision  # takes seconds to import

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"train.encoder: {name!r} is no network of torchvision and no EfficientNet-Lite; known are "
            f"{', '.join([*known, *lite.NAMES])}"
        )
    network = torchvision.models.get_model(name, weights=None)
    if weights:
        state = _read(Path(weights)) if Path(weights).exists() else _fetched(name, weights)
        _load(network, name, weights, state)
    return [child for child_name, child in network.named_children() if child_name not in HEADS]


def _lite(name: str, weights: str) -> list[nn.Module]:
    trunk = lite.LiteTrunk(name)
    if weights:
        file = lite.packaged_weights(name) if weights == lite.PACKAGED else Path(weights)
        _load(trunk.network, name, weights, _read(file))
    return [trunk]


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


def _load(network: nn.Module, name: str, weights: str, state: Mapping[str, Tensor]) -> None:
    """Load all weights except the head's."""
    own = {key for key in network.state_dict() if key.split(".")[0] not in HEADS}
    if missing := sorted(own - set(state)):
        raise InputError(
            f"train.weights: {weights}: not the weights of {name}: {missing[0]} and "
            f"{len(missing) - 1} more are missing; give a state_dict of {name}"
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
    import torchvision

    kinds: Any = torchvision.models.get_model_weights(name)
    names = [kind.name for kind in kinds]
    if weights not in (*names, "DEFAULT"):
        raise InputError(
            f"train.weights: {weights!r} is no file and none of torchvision's weights of {name}: "
            f"{', '.join(names)}"
        )
    kind = kinds[weights]
    say(f"weights of {name}: torchvision's {kind.name}, from its cache or from {kind.url}")
    try:
        state: Mapping[str, Tensor] = kind.get_state_dict(progress=True)
    except Exception as error:  # no network, a proxy's page instead of the file, a full disk
        place = Path(torch.hub.get_dir()) / "checkpoints" / kind.url.rsplit("/", 1)[-1]
        raise InputError(
            f"params.yaml: train.weights: {weights} of {name} cannot be downloaded ({error}); without a "
            f"network, download {kind.url} elsewhere and put it at {place}, or set train.weights to the file"
        ) from None
    return state
