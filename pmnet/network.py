"""PM-Net (Fig. 2): encoder, classifier, prototype memory, parameter estimator."""

from dataclasses import dataclass
from typing import Literal

import torch
import torchvision
from jaxtyping import Float, Int
from torch import Tensor, nn

from pmnet.body import BodyParams
from pmnet.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.rotations import rot6d_to_rotmat, rotmat_to_rot6d

POSE, BETAS, CAMERA = 24 * 6, 10, 3
PARAMETERS = POSE + BETAS + CAMERA  # the 157 numbers that G regresses
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Prediction:
    """Bodies and weak-perspective cameras (s, tx, ty)."""

    params: BodyParams
    camera: Float[Tensor, "b 3"]


def pack(params: BodyParams, camera: Float[Tensor, "b 3"]) -> Float[Tensor, "b 157"]:
    """Return rotations in 6D, betas and camera as the vector that G works on."""
    return torch.cat([rotmat_to_rot6d(params.rotmats).flatten(1), params.betas, camera], 1)


def unpack(vector: Float[Tensor, "b 157"]) -> Prediction:
    """Return the body and camera of the vector that G works on."""
    pose, betas, camera = vector.split([POSE, BETAS, CAMERA], 1)
    return Prediction(BodyParams(rot6d_to_rotmat(pose.reshape(-1, 24, 6)), betas), camera)


def build_encoder(name: str, pooling: int) -> nn.Sequential:
    """Return a torchvision network up to its last feature map, which is pooled to a grid and flattened.

    `pooling` is the side of the grid: 1 is the global mean of a ResNet; a small encoder learns poses
    sooner when it keeps some of the places. Raises InputError for an unknown name.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"train.encoder: torchvision has no {name!r}; known are {', '.join(known)}"
        )
    network = torchvision.models.get_model(name, weights=None)
    heads = ("avgpool", "fc", "classifier")
    trunk = [child for child_name, child in network.named_children() if child_name not in heads]
    return nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(pooling), nn.Flatten())


def _width(encoder: nn.Module) -> int:
    """Return the number of features of an encoder, by trying it."""
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(1, 3, 64, 64))
    encoder.train()
    return features.shape[1]


class PMNet(nn.Module):
    """Classifies an image to a prototype and regresses the body from there (Fig. 2).

    The prototypes (M, K x 157 with the mean camera) are a buffer: they are not trained.
    """

    memory: Tensor
    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self,
        encoder: str,
        pooling: int,
        hidden: int,
        regressor_steps: int,
        memory: PrototypeMemory,
    ) -> None:
        super().__init__()
        self.regressor_steps = regressor_steps
        self.encoder = build_encoder(encoder, pooling)
        self.neck = nn.Sequential(
            nn.Linear(_width(self.encoder), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.classifier = nn.Linear(hidden, len(memory))
        self.estimator = nn.Linear(hidden + PARAMETERS, PARAMETERS)
        nn.init.xavier_uniform_(self.estimator.weight, gain=0.01)
        nn.init.zeros_(self.estimator.bias)
        rows = pack(memory.prototypes, memory.camera.expand(len(memory), 3))
        self.register_buffer("memory", rows)
        self.register_buffer("image_mean", torch.tensor(IMAGE_MEAN)[:, None, None])
        self.register_buffer("image_std", torch.tensor(IMAGE_STD)[:, None, None])

    def encode(
        self, images: Float[Tensor, "b 3 s s"]
    ) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b k"]]:
        """Return features f and scores c of images with values from 0 to 1."""
        normalised = (images - self.image_mean) / self.image_std
        features = self.neck(self.encoder(normalised.contiguous(memory_format=torch.channels_last)))
        return features.float(), self.classifier(features).float()

    def start(
        self, scores: Float[Tensor, "b k"], selection: Literal["hard", "soft"]
    ) -> Float[Tensor, "b 157"]:
        """Return phi_0 = c M: the prototype of the highest score, or their mean by softmax.

        The rotations of the mean are brought back to SO(3).
        """
        if selection == "hard":
            return self.memory[scores.argmax(1)]
        mixed = unpack(scores.softmax(1) @ self.memory)
        return pack(mixed.params, mixed.camera)

    def regress(
        self, features: Float[Tensor, "b h"], start: Float[Tensor, "b 157"]
    ) -> Float[Tensor, "b 157"]:
        """Return phi_T: the start corrected `regressor_steps` times by G(f, phi_t)."""
        vector = start
        for _ in range(self.regressor_steps):
            vector = vector + self.estimator(torch.cat([features, vector], 1))
        return vector

    def forward(
        self, images: Float[Tensor, "b 3 s s"], start_from: Int[Tensor, "b"] | None
    ) -> tuple[Float[Tensor, "b 157"], Float[Tensor, "b k"]]:
        """Return phi_T and scores; None, and rows of -1, start from the prototype of the highest score."""
        features, scores = self.encode(images)
        best = scores.argmax(1)
        rows = best if start_from is None else torch.where(start_from < 0, best, start_from)
        return self.regress(features, self.memory[rows]), scores
