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
        joined = fabric.world_size > 1 or options.clip_norm > 0
        self._gradient = _flat_gradient(self.weights) if joined else None
        self._inputs: Inputs | None = None
        self._graph: Any = None
        self._done = 0
        self._waiting: deque[Any] = deque()

    def compile(self) -> None:
        """Let torch fuse what a step is made of, when it is first taken: it takes a minute."""
        self.network.compile()
        self.batch = torch.compile(self.batch)  # type: ignore[method-assign]
        if self.fabric.world_size == 1:  # else it sums over processes
            self._losses = torch.compile(self._losses)  # type: ignore[method-assign]

    def close(self) -> None:
        """Let go of the graph: processes that sum by NCCL hang at their end while one holds a sum."""
        self._graph = None

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
                # other threads, such as NCCL's, may call CUDA meanwhile
                with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                    self._compute(self._inputs)
            self._graph.replay()
        self._done += 1

    def _compute(self, inputs: Inputs) -> None:
        options = self.options
        images, truth = self.batch(inputs)
        with self.fabric.autocast():
            vector, scores = self.network(images, truth.prototype, inputs.predicted)
        loss, measures = self._losses(vector, scores, truth)
        if self._gradient is None:
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        else:
            self._gradient.zero_()
            loss.backward()
            self._everywhere(self._gradient)
            self._clip(self._gradient)
        with torch.no_grad():
            self._measure(inputs, self._everywhere(measures))
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

    def _losses(
        self, vector: Float[Tensor, "b 157"], scores: Float[Tensor, "b k"], truth: Truth
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m"]]:
        """Return the loss, and all MEASURES without their gradient."""
        terms = loss_terms(
            unpack(vector.float()),
            scores.float(),
            truth,
            self._body,
            self._joints,
            self._classes,
            self.options.balance.mse_noise,
            self._everywhere,
        )
        loss = total_loss(terms, self.options.loss)
        right = (scores.argmax(1) == truth.prototype).float()
        accuracy = masked_mean(right, truth.has_smpl, self._everywhere)
        return loss, torch.stack([loss, *terms.values(), accuracy]).detach()

    def _everywhere(self, value: Tensor) -> Tensor:
        """Make a value its mean over all devices: a batch is the same however many share it."""
        if self.fabric.world_size > 1:
            torch.distributed.all_reduce(value)
            value /= self.fabric.world_size
        return value

    def _clip(self, gradient: Float[Tensor, "n"]) -> None:
        """Make the gradient no longer than `clip_norm`."""
        if limit := self.options.clip_norm:
            gradient *= (limit / gradient.norm().clamp_min(1e-12)).clamp_max(1.0)

    def _measure(self, inputs: Inputs, measures: Float[Tensor, "m"]) -> None:
        """Add up the measures, and note the first step whose measures or gradients are no numbers."""
        self.sums += measures
        gradients = [p.grad for p in self.weights if p.grad is not None]
        sizes = torch.stack(torch._foreach_norm(gradients))
        broke = (self.broken < 0) & ~(torch.isfinite(measures).all() & torch.isfinite(sizes).all())
        self.broken.copy_(torch.where(broke, inputs.number, self.broken))
        self.blame.copy_(torch.where(broke, measures, self.blame))


def _flat_gradient(weights: list[Tensor]) -> Float[Tensor, "n"]:
    """Return one tensor that the gradients of all weights are views of: it is summed and clipped whole."""
    flat = torch.zeros(sum(p.numel() for p in weights), device=weights[0].device)
    place = 0
    for p in weights:
        p.grad = flat.as_strided(p.size(), p.stride(), place)
        place += p.numel()
    return flat
