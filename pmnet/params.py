"""The sections of params.yaml as frozen dataclasses, read strictly. No default lives in Python."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pmnet.errors import InputError

Selection = Literal["hard", "soft", "risk", "twice"]


@dataclass(frozen=True)
class Machine:
    """What this machine has; no result depends on it, so no stage is rerun for it."""

    device: str
    workers: int
    threads: int
    cache_gib: float
    resident_gib: float
    precision: Literal["32-true", "tf32", "bf16-mixed"]
    compile: bool


@dataclass(frozen=True)
class Images:
    """How the pixels of a data set are made (stage `images`).

    Images show `context` times the box of their person, for augmentation; of image files the share
    `max_missing` may be missing or broken.
    """

    size_px: int
    context: float
    max_missing: float
    encoding: Literal["raw", "jpeg"]
    jpeg_quality: int
    supersampling: int
    variety: float
    skin_share: float
    seed: int


@dataclass(frozen=True)
class PartWeights:
    """Weights of the parts of the body other than the limbs in the P3DH distance."""

    torso: float
    foot: float
    head: float
    hand: float


@dataclass(frozen=True)
class Cluster:
    """The prototype memory (stage `cluster`, Algorithm 1)."""

    k: int
    limb_weight: float
    part_weights: PartWeights
    max_iterations: int
    tolerance: float
    seed: int
    init: Literal["random", "kmeans++"]
    restarts: int


@dataclass(frozen=True)
class LossWeights:
    """Weights of the five terms of the loss; `regression_scale` multiplies all but the last."""

    keypoints_3d: float
    keypoints_2d: float
    pose: float
    betas: float
    prototype: float
    regression_scale: float


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image (SPIN's; 0 everywhere changes nothing).

    `flip` is the share that is mirrored, `rotation_share` the share that is turned, by a normal angle
    with standard deviation `rotation_deg`. The others are the largest change: of the box's width by
    `scale` (normal, cut off there), of its place by `shift`, of each channel by `gain` (uniform).
    """

    flip: float
    rotation_deg: float
    rotation_share: float
    scale: float
    shift: float
    gain: float


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
    loss: LossWeights
    augmentation: Augmentation
    checkpoint_every: int
    log_every: int


@dataclass(frozen=True)
class Evaluate:
    """The start of inference, and the protocol of the errors (stage `evaluate`).

    `selection` is that of the network's own errors; those by the selections of `also` stand beside.
    """

    selection: Selection
    also: list[Selection]
    alignment: Literal["none", "pelvis", "hips"]


@dataclass(frozen=True)
class Report:
    """Statistics of the tables and curves."""

    tails: list[int]
    bins: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class Figure:
    """Size of a figure."""

    width_in: float
    height_in: float
    dpi: int


@dataclass(frozen=True)
class Pictures:
    """How many bodies a figure of rendered bodies shows, and how large each is."""

    bodies: int
    size_px: int


def read(file: Path, section: str) -> Any:
    """Return the plain value of a dotted `section` of a params file.

    Raises InputError where the file cannot be read or the section is missing.
    """
    try:
        values = YAML(typ="safe", pure=True).load(file.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{file}: not found; run the command where your params.yaml is (the project's root)"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid YAML: {error}") from None
    for depth, key in enumerate(parts := section.split(".")):
        if not isinstance(values, Mapping) or key not in values:
            where = ".".join(parts[: depth + 1])
            known = ", ".join(map(str, values)) if isinstance(values, Mapping) else "none"
            raise InputError(f"{file}: {where} is missing; the keys there are: {known}")
        values = values[key]
    return values


def yaml_value(text: str) -> Any:
    """Return the value of a piece of YAML, as in `-S key=value`."""
    return YAML(typ="safe", pure=True).load(text)


def load(file: Path, section: str, kind: Any, overrides: Mapping[str, Any]) -> Any:
    """Return `section` of a params file as the dataclass `kind`, after dotted `overrides`.

    Raises InputError naming the file and the key for an unknown, missing or mistyped key.
    """
    values = read(file, section)
    for dotted, value in overrides.items():
        *outer, last = dotted.split(".")
        target = values
        for key in outer:
            target = target.get(key) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping) or last not in target:
            raise InputError(f"{file}: {section}.{dotted} is not a parameter")
        target[last] = value  # type: ignore[index]
    return parse(kind, values, f"{file}: {section}")


def parse(kind: Any, value: Any, where: str) -> Any:
    """Return `value` checked against the annotation `kind`; `where` names it in errors."""
    if is_dataclass(kind):
        return _parse_section(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where}: {value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, UnionType):
        return None if value is None else parse(arguments[0], value, where)
    if origin is list:
        if not isinstance(value, list) or not value:
            kind_of = getattr(arguments[0], "__name__", "values")
            raise InputError(f"{where}: expected a list of {kind_of}, got {value!r}")
        return [parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping, got {value!r}")
        return {str(k): parse(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def _parse_section(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a section, got {value!r}")
    names = [field.name for field in fields(kind)]
    for key in value:
        if key not in names:
            raise InputError(f"{where}.{key}: unknown parameter; known are: {', '.join(names)}")
    for name in names:
        if name not in value:
            raise InputError(f"{where}.{name}: missing")
    hints = get_type_hints(kind)
    return kind(**{name: parse(hints[name], value[name], f"{where}.{name}") for name in names})
