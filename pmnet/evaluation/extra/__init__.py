"""Metrics beside the paper's three: one module per metric, found by its name.

A module has `Options`, a frozen dataclass, and `measure(comparison, options)`, which returns one number per
sample. `evaluate.extra` of params.yaml names the metrics with their options; the errors of a run then have
a column of the metric's name, and `reports/tables/summary.json` has its means.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.core import params
from pmnet.core.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """Predicted and true bodies (m), aligned as the protocol says.

    The joints are the ones that MPJPE is measured on; `known` says which of them the truth has. Vertices
    are None where the true bodies are not known.
    """

    pred_joints: Float[Tensor, "b j 3"]
    true_joints: Float[Tensor, "b j 3"]
    known: Bool[Tensor, "b j"]
    pred_vertices: Float[Tensor, "b v 3"] | None
    true_vertices: Float[Tensor, "b v 3"] | None


ExtraMetrics = Mapping[str, Callable[[Comparison], Float[Tensor, "b"]]]


def names() -> list[str]:
    """Return the names of all extra metrics."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def extra_metrics(chosen: Mapping[str, Any], where: str) -> ExtraMetrics:
    """Return the metrics of `evaluate.extra` by name; `where` names that section in errors.

    Raises InputError for an unknown metric, or for options that the metric does not have.
    """
    metrics = {}
    for name, options in chosen.items():
        if name not in names():
            raise InputError(f"{where}.{name}: no such metric; known are: {', '.join(names())}")
        module = importlib.import_module(f"{__name__}.{name}")
        checked = params.parse(module.Options, options, f"{where}.{name}")
        metrics[name] = partial(module.measure, options=checked)
    return metrics
