"""PM-Net (Fig. 2): encoder, classifier, prototype memory, parameter estimator."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pmnet.body import BodyParams
from pmnet.body.rotations import rot6d_to_rotmat, rotmat_to_rot6d
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.encoders import build_encoder, width_of
from pmnet.model.imagenet import IMAGE_MEAN, IMAGE_STD

POSE, BETAS, CAMERA = 24 * 6, 10, 3
PARAMETERS = POSE + BETAS + CAMERA  # the 157 numbers that G regresses
DROPPED = 0.5  # share of units that SPIN's dropout sets to zero
Pooling = Annotated[int, Interval(ge=1, le=64)]
Width = Annotated[int, Interval(ge=1, le=65536)]
HiddenWidth = Annotated[int, Interval(ge=0, le=65536)]  # 0: no hidden layer
RegressorSteps = Annotated[int, Interval(ge=0, le=100)]


@dataclass(frozen=True)
class Prediction:
    """Bodies and weak-perspective cameras (s, tx, ty)."""

    params: BodyParams
    camera: Float[Tensor, "b 3"]


def pack(params: BodyParams, camera: Float[Tensor, "b 3"]) -> Float[Tensor, "b 157"]:
    """Return the vector that G regresses: rotations in 6D, betas and camera."""
    return torch.cat([rotmat_to_rot6d(params.rotmats).flatten(1), params.betas, camera], 1)


def unpack(vector: Float[Tensor, "b 157"]) -> Prediction:
    """Return the body and camera of a vector that G regresses."""
    pose, betas, camera = vector.split([POSE, BETAS, CAMERA], 1)
    return Prediction(BodyParams(rot6d_to_rotmat(pose.reshape(-1, 24, 6)), betas), camera)


@dataclass(frozen=True)
class NetworkConfig:
    """The settings of a network without its memory.

    A width of 0 for `classifier_hidden` or `estimator_hidden` is one linear map (the paper). `estimator` is
    "plain", that map or one hidden layer with ReLU, or "spin": SPIN's two hidden layers of
    `estimator_hidden` units (SPIN: 1,024) with dropout and without ReLU.
    """

    encoder: str
    pooling: Pooling
    hidden: Width
    classifier_hidden: HiddenWidth
    estimator_hidden: HiddenWidth
    estimator: Literal["plain", "spin"]
    regressor_steps: RegressorSteps
    start: Literal["assigned", "predicted", "mixed", "scheduled", "mean"]


def _head(inputs: int, hidden: int, last: nn.Linear) -> nn.Sequential:
    """Return the linear map `last`, after a hidden layer of `hidden` units if `hidden` is above 0."""
    before = [nn.Linear(inputs, hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(*before, last)


def _estimator(config: NetworkConfig, last: nn.Linear) -> nn.Sequential:
    """Return G, which ends with the linear map `last`."""
    inputs, width = config.hidden + PARAMETERS, config.estimator_hidden
    if config.estimator == "plain":
        return _head(inputs, width, last)
    if not width:
        raise InputError(
            "train.estimator is spin, but train.estimator_hidden is 0; SPIN's hidden layers have 1024 units"
        )
    first, second = nn.Linear(inputs, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.Dropout(DROPPED), second, nn.Dropout(DROPPED), last)


class PMNet(nn.Module):
    """Classifies an image to a prototype and regresses the body from there (Fig. 2).

    The prototypes (M, K x 157 with the mean camera) are a buffer: they are not trained.

    In the paper G is one linear map, so its steps are one affine map of features and start: with
    G(f, phi) = W f + U phi + b and A = I + U, phi_3 = A^3 phi_0 + (A^2 + A + I) (W f + b).
    """

    memory: Tensor
    mean: Tensor
    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: NetworkConfig, memory: PrototypeMemory, weights: str = "") -> None:
        """Build the network with the initial `weights` of the encoder (see `pmnet.model.encoders`)."""
        super().__init__()
        hidden = config.hidden
        self.regressor_steps = config.regressor_steps
        self.starts_from_mean = config.start == "mean"
        self.encoder = build_encoder(config.encoder, config.pooling, weights)
        self.neck = nn.Sequential(
            nn.Linear(width_of(self.encoder), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        scores = nn.Linear(config.classifier_hidden or hidden, len(memory))
        self.classifier = _head(hidden, config.classifier_hidden, scores)
        change = nn.Linear(config.estimator_hidden or hidden + PARAMETERS, PARAMETERS)
        self.estimator = _estimator(config, change)
        nn.init.xavier_uniform_(change.weight, gain=0.01)
        nn.init.zeros_(change.bias)
        rows = pack(memory.prototypes, memory.camera.expand(len(memory), 3))
        self.register_buffer("memory", rows)
        self.register_buffer(
            "mean", _brought_back(memory.sizes.float() @ rows / memory.sizes.sum())
        )
        self.register_buffer("image_mean", torch.tensor(IMAGE_MEAN)[:, None, None])
        self.register_buffer("image_std", torch.tensor(IMAGE_STD)[:, None, None])

    def encode(
        self, images: Float[Tensor, "b 3 s s"]
    ) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b k"]]:
        """Return features f and scores c of images with values from 0 to 1."""
        normalised = (images - self.image_mean) / self.image_std
        features = self.neck(self.encoder(normalised.contiguous(memory_format=torch.channels_last)))
        return features.float(), self.classifier(features).float()

    def mixture(self, scores: Float[Tensor, "b k"]) -> Float[Tensor, "b 157"]:
        """Return the mean of the prototypes by softmax of the scores, rotations brought back to SO(3)."""
        return _brought_back(scores.softmax(1) @ self.memory)

    def from_prototypes(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b 157"]:
        """Return the starts of regression: the prototypes of `rows`, or their mean (`start: mean`)."""
        return self.mean.expand(len(rows), -1) if self.starts_from_mean else self.memory[rows]

    def regress(
        self, features: Float[Tensor, "b h"], start: Float[Tensor, "b 157"]
    ) -> Float[Tensor, "b 157"]:
        """Return phi_T: the start corrected `regressor_steps` times by G(f, phi_t), in float32."""
        vector = start
        with torch.autocast(start.device.type, enabled=False):
            for _ in range(self.regressor_steps):
                vector = vector + self.estimator(torch.cat([features, vector], 1))
        return vector

    def forward(
        self,
        images: Float[Tensor, "b 3 s s"],
        assigned: Int[Tensor, "b"],
        predicted: Bool[Tensor, "b"],
    ) -> tuple[Float[Tensor, "b 157"], Float[Tensor, "b k"]]:
        """Return phi_T and scores, from the `assigned` prototypes.

        Rows that are `predicted`, or have no prototype (-1), start from the prototype of the highest score.
        """
        features, scores = self.encode(images)
        rows = torch.where(predicted | (assigned < 0), scores.argmax(1), assigned)
        return self.regress(features, self.from_prototypes(rows)), scores


def _brought_back(vectors: Float[Tensor, "*b 157"]) -> Float[Tensor, "*b 157"]:
    """Return vectors whose rotations are brought back to SO(3)."""
    rows = unpack(vectors.reshape(-1, PARAMETERS))
    return pack(rows.params, rows.camera).reshape(vectors.shape)
