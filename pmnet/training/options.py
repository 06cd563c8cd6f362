"""The settings of the train stage."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from pmnet.core.device import Precision
from pmnet.core.ranges import Amount, Count, Seeds, Weight
from pmnet.images.augmentation import Augmentation
from pmnet.model.losses import LossWeights
from pmnet.model.network import HiddenWidth, Pooling, RegressorSteps, Width


@dataclass(frozen=True)
class Balance:
    """Remedies for rare poses that are not prototypes; the paper has none of them.

    `sampling` draws rare samples more often: as if all prototypes, or all distances between the joints
    and the mean joints, were equally frequent. `classes` weights the cross-entropy of a prototype by its
    rarity. `mse_noise` is the noise of Balanced MSE on the rotations; 0 is the plain MSE.
    """

    sampling: Literal["uniform", "prototype", "distance"]
    classes: bool
    mse_noise: Weight


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

    seeds: Seeds
    encoder: str
    weights: str
    freeze_encoder: bool
    pooling: Pooling
    hidden: Width
    classifier_hidden: HiddenWidth
    estimator_hidden: HiddenWidth
    estimator: Literal["plain", "spin"]
    regressor_steps: RegressorSteps
    start: Literal["assigned", "predicted", "mixed", "scheduled", "mean"]
    mix: dict[str, Weight]
    balance: Balance
    steps: Count
    batch_size: Annotated[int, Interval(ge=1, le=1_000_000)]
    learning_rate: Annotated[float, Interval(ge=0.0, le=1000.0)]
    schedule: Literal["constant", "cosine"]
    warmup_steps: Amount
    clip_norm: Weight
    ema: Annotated[float, Interval(ge=0.0, lt=1.0)]
    soft_mm: Weight
    precision: Precision
    compile: bool
    loss: LossWeights
    augmentation: Augmentation
