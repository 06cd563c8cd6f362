"""The targets of the classifier: the paper's one right prototype, or remedies for rare poses."""

import torch

from pmnet.body import BodyModel
from pmnet.memory.nearest import distances_mm
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.losses import ClassTargets
from pmnet.training.batches import inverse_frequency
from pmnet.training.options import Train


def class_targets(memory: PrototypeMemory, body: BodyModel, options: Train) -> ClassTargets:
    """Return targets and weights of the prototypes, on the device of `body`."""
    device = body.faces.device
    plain = ClassTargets.plain(len(memory), device)
    targets, weights = plain.targets, plain.weights
    if options.soft_mm:
        targets = (-distances_mm(memory, body) / options.soft_mm).softmax(1)
    if options.balance.classes:
        weights = torch.zeros(len(memory))
        weights[memory.assignments] = inverse_frequency(memory.assignments)
    return ClassTargets(targets, weights.to(device))
