"""One step of training, from rows and images to changed weights: on a GPU captured once and replayed.

All that differs between steps is copied into tensors that stay where they are, so that the whole step
is one CUDA graph: what Python and the launching of a thousand kernels cost is paid once.
"""

from collections import deque
from dataclasses import replace
from typing import Any, Final

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.images.augmentation import Labels, augment
from pmnet.losses import Classes, Truth, loss_terms, masked_mean, total_loss
from pmnet.memory.labels import Labeller
from pmnet.network import PMNet, unpack
from pmnet.params import Train
from pmnet.samples import JointSet
from pmnet.training.inputs import Inputs
from pmnet.training.log import MEASURES

EAGER: Final = 3  # steps before the capture: they allocate what all later steps use
AHEAD: Final = 8  # steps that wait on the device at most


class Step:
    """The step: what it works on, and what it keeps between steps."""

    def __init__(
        self,
        network: PMNet,
        optimizer: torch.optim.Optimizer,
        truth: Truth,
        joints: JointSet,
        size_px: int,
        body: BodyModel,
        labeller: Labeller | None,
        classes: Classes,
        options: Train,
        fabric: Fabric,
    ) -> None:
        """Take what all steps share, on the device."""
        self.network, self.optimizer, self.options, self.fabric = (
            network,
            optimizer,
            options,
            fabric,
        )
        self._truth, self._joints, self._size_px = truth, joints, size_px
        self._body, self._labeller, self._classes = body, labeller, classes
        device = fabric.device
        self.sums = torch.zeros(len(MEASURES), device=device)
        self.count = 0
        self.broken = torch.full((), -1, device=device)
        self.blame = torch.zeros(len(MEASURES), device=device)
        self.weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.weights] if options.ema else []
        # what is summed over all devices, in one go: the gradients of all weights, and the measures
        self._flat = _flat_gradient(self.weights, more=len(MEASURES))
        self._gradient, self._measures = self._flat.split(
            [len(self._flat) - len(MEASURES), len(MEASURES)]
        )
        self._inputs: Inputs | None = None
        self._graph: Any = None
        self._done = 0
        self._waiting: deque[Any] = deque()

    def __call__(self, inputs: Inputs, rate: float) -> None:
        """Take one step. Its measures are added to `sums`; `broken` is the first step that was."""
        inputs = inputs.to(self.fabric.device)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.count += 1
        if self.fabric.device.type == "cpu":
            self._compute(inputs)
            return
        self._replay(inputs)
        event = torch.cuda.Event()
        event.record()
        self._waiting.append(event)
        if len(self._waiting) > AHEAD:
            self._waiting.popleft().synchronize()

    def _replay(self, inputs: Inputs) -> None:
        """Take a step by the graph, once there is one."""
        if self._inputs is None:
            self._inputs = inputs.to(self.fabric.device)
            self._inputs = replace(self._inputs, images=inputs.images.clone())
        self._inputs.take(inputs)
        if self._done < EAGER:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._compute(self._inputs)
            torch.cuda.current_stream().wait_stream(side)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._compute(self._inputs)
            self._graph.replay()
        self._done += 1

    def _compute(self, inputs: Inputs) -> None:
        options = self.options
        images, truth = self.batch(inputs)
        with self.fabric.autocast():
            vector, scores = self.network(images, truth.prototype, inputs.predicted)
        terms = loss_terms(
            unpack(vector.float()),
            scores.float(),
            truth,
            self._body,
            self._joints,
            self._classes,
            options.balance.mse_noise,
            self._everywhere,
        )
        loss = total_loss(terms, options.loss)
        self._flat.zero_()
        loss.backward()
        with torch.no_grad():
            right = (scores.argmax(1) == truth.prototype).float()
            accuracy = masked_mean(right, truth.has_smpl, self._everywhere)
            self._measures.copy_(torch.stack([loss, *terms.values(), accuracy]))
            self._everywhere(self._flat)
            self._measure(inputs)
            self._clip()
        self.optimizer.step()
        if self.average:
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.weights, 1 - options.ema)

    def batch(self, inputs: Inputs) -> tuple[Float[Tensor, "b 3 s s"], Truth]:
        """Return the batch changed at random, with the prototypes of the changed bodies."""
        options = self.options.augmentation
        truth = self._truth[inputs.rows]
        images = inputs.images.permute(0, 3, 1, 2).float() / 255
        labels = Labels(truth.params, truth.keypoints_2d, truth.keypoints_3d)
        images, labels = augment(images, labels, self._joints, self._size_px, options, inputs.draws)
        truth = replace(truth, **vars(labels))
        if self._labeller is not None:
            nearest = self._labeller.relabel(truth.params, truth.has_smpl, truth.prototype)
            truth = replace(truth, prototype=nearest)
        return images, truth

    def _everywhere(self, value: Tensor) -> Tensor:
        """Make a value its mean over all devices: a batch is the same however many share it."""
        if self.fabric.world_size > 1:
            torch.distributed.all_reduce(value)
            value /= self.fabric.world_size
        return value

    def _clip(self) -> None:
        if limit := self.options.clip_norm:
            self._gradient *= (limit / self._gradient.norm().clamp_min(1e-12)).clamp_max(1.0)

    def _measure(self, inputs: Inputs) -> None:
        """Add up the measures, and note the first step whose measures or gradients are no numbers."""
        self.sums += self._measures
        broke = (self.broken < 0) & ~torch.isfinite(self._flat.sum())
        self.broken.copy_(torch.where(broke, inputs.number, self.broken))
        self.blame.copy_(torch.where(broke, self._measures, self.blame))


def _flat_gradient(weights: list[Tensor], more: int) -> Float[Tensor, "n"]:
    """Return one tensor that the gradients of all weights are views of, with room for `more` at its end."""
    flat = torch.zeros(sum(p.numel() for p in weights) + more, device=weights[0].device)
    place = 0
    for p in weights:
        p.grad = flat.as_strided(p.size(), p.stride(), place)
        place += p.numel()
    return flat
