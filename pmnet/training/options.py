"""The settings of the train stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.core.device import Precision
from pmnet.images.augmentation import Augmentation
from pmnet.model.losses import LossWeights


@dataclass(frozen=True)
class Balance:
    """Other answers to the tail than prototypes; the paper has none of them.

    `sampling` draws rare samples more often: as if all prototypes, or all distances of the joints to
    the mean joints, were equally frequent. `classes` weighs the cross-entropy by the rarity of the
    prototypes. `mse_noise` is the noise of Balanced MSE on the rotations; 0 is the plain MSE.
    """

    sampling: Literal["uniform", "prototype", "distance"]
    classes: bool
    mse_noise: float


@dataclass(frozen=True)
class Train:
    """The network and its training (stage `train`); `mix` is the share of a batch by data set.

    `classifier_hidden` and `estimator_hidden` are widths of a hidden layer; 0 is one linear map. The
    prototypes that training starts from are the `assigned` ones or the `predicted` ones, half of each
    (`mixed`), ever more of the predicted ones (`scheduled`), or always their `mean`. With `soft_mm`
    above 0 the classifier may also say a prototype near the assigned one, by exp(-distance / soft_mm).
    """

    seeds: list[int]
    encoder: str
    weights: str
    freeze_encoder: bool
    pooling: int
    hidden: int
    classifier_hidden: int
    estimator_hidden: int
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
