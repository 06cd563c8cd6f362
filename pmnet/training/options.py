"""The settings of the train stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.core.device import Precision
from pmnet.images.augmentation import Augmentation
from pmnet.model.losses import LossWeights


@dataclass(frozen=True)
class Balance:
    """Remedies for rare poses that are not prototypes; the paper has none of them.

    `sampling` draws rare samples more often: as if all prototypes, or all distances between the joints
    and the mean joints, were equally frequent. `classes` weights the cross-entropy of a prototype by its
    rarity. `mse_noise` is the noise of Balanced MSE on the rotations; 0 is the plain MSE.
    """

    sampling: Literal["uniform", "prototype", "distance"]
    classes: bool
    mse_noise: float


@dataclass(frozen=True)
class Train:
    """The network and its training (section `train`).

    `classifier_hidden` and `estimator_hidden` are widths of a hidden layer; 0 is one linear map. `estimator`
    is `plain`, or SPIN's, with two hidden layers of that width and dropout. `start`
    says which prototypes the estimator starts from in training: the `assigned` ones, the `predicted` ones,
    half of each (`mixed`), a share of predicted ones that grows from 0 to 1 (`scheduled`), or always their
    `mean`. `mix` is the share of each batch by data set. With `soft_mm` above 0, prototypes near the
    assigned one are targets of the classifier too, in proportion to exp(-distance / soft_mm). `precision`
    applies to the encoder and the heads; `compile` fuses the operations of a step.
    """

    seeds: list[int]
    encoder: str
    weights: str
    freeze_encoder: bool
    pooling: int
    hidden: int
    classifier_hidden: int
    estimator_hidden: int
    estimator: Literal["plain", "spin"]
    regressor_steps: int
    start: Literal["assigned", "predicted", "mixed", "scheduled", "mean"]
    mix: dict[str, float]
    balance: Balance
    steps: int
    batch_size: int
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    warmup_steps: int
    clip_norm: float
    ema: float
    soft_mm: float
    precision: Precision
    compile: bool
    loss: LossWeights
    augmentation: Augmentation
