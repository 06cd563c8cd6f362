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
from torch.distributed import all_reduce

from pmnet.body import BodyModel
from pmnet.data.samples import JointSet
from pmnet.images.augmentation import Labels, augment
from pmnet.memory.nearest import NearestPrototype
from pmnet.model.losses import (
    LEAST,
    ClassTargets,
    TrainingTargets,
    loss_terms,
    term_weights,
    total_loss,
)
from pmnet.model.network import PMNet, unpack
from pmnet.training.inputs import Inputs
from pmnet.training.log import MEASURES
from pmnet.training.options import Train

EAGER: Final = 3  # steps before the capture: they allocate what all later steps use
AHEAD: Final = 8  # steps that wait on the device at most


class Step:
    """The step: what it works on, and what it keeps between steps."""

    def __init__(
        self,
        network: PMNet,
        optimizer: torch.optim.Optimizer,
        truth: TrainingTargets,
        joints: JointSet,
        size_px: int,
        body: BodyModel,
        labeller: NearestPrototype | None,
        classes: ClassTargets,
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
        self._joined = _Joined(self.weights) if joined else None
        self._inputs: Inputs | None = None
        self._graph: Any = None
        self._done = 0
        self._waiting: deque[Any] = deque()

    def compile(self) -> None:
        """Let torch fuse what a step is made of, when it is first taken: it takes a minute."""
        self.network.compile()
        self.batch = torch.compile(self.batch)  # type: ignore[method-assign]
        self._losses = torch.compile(self._losses)  # type: ignore[method-assign]
        self._totals = torch.compile(self._totals)  # type: ignore[method-assign]

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
        totals = self._totals(truth) if self.fabric.world_size > 1 else None
        summed = None if totals is None else all_reduce(totals, async_op=True)
        with self.fabric.autocast():
            vector, scores = self.network(images, truth.prototype, inputs.predicted)
        if summed is not None:
            summed.wait()
        loss, measures = self._losses(vector, scores, truth, totals)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            if self._joined is not None:
                measures = self._joined.take(measures)
                if self.fabric.world_size > 1:
                    all_reduce(self._joined.all)
                self._clip(self._joined.gradient)
            self._measure(inputs, measures)
        self.optimizer.step()
        if self.average:
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.weights, 1 - options.ema)

    def batch(self, inputs: Inputs) -> tuple[Float[Tensor, "b 3 s s"], TrainingTargets]:
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

    def _totals(self, truth: TrainingTargets) -> Float[Tensor, "6"]:
        """Return what the means of a batch are over, of this process's part of it."""
        weights = term_weights(truth, self._joints, self._classes)
        return torch.stack([part.sum() for part in (*weights.values(), truth.has_smpl.float())])

    def _losses(
        self,
        vector: Float[Tensor, "b 157"],
        scores: Float[Tensor, "b k"],
        truth: TrainingTargets,
        totals: Float[Tensor, "6"] | None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m"]]:
        """Return this process's share of the loss, and of all MEASURES without their gradient."""
        terms = loss_terms(
            unpack(vector.float()),
            scores.float(),
            truth,
            self._body,
            self._joints,
            self._classes,
            self.options.balance.mse_noise,
            None if totals is None else totals[:-1],
        )
        loss = total_loss(terms, self.options.loss)
        known = truth.has_smpl.float()
        right = ((scores.argmax(1) == truth.prototype) * known).sum()
        samples = known.sum() if totals is None else totals[-1]
        accuracy = right / samples.clamp_min(LEAST)
        return loss, torch.stack([loss, *terms.values(), accuracy]).detach()

    def _clip(self, gradient: Float[Tensor, "n"]) -> None:
        """Make the gradient no longer than `clip_norm`."""
        if limit := self.options.clip_norm:
            gradient *= (limit / gradient.norm().clamp_min(1e-12)).clamp_max(1.0)

    def _measure(self, inputs: Inputs, measures: Float[Tensor, "m"]) -> None:
        """Add up the measures, and note the first step whose measures or gradients are no numbers."""
        self.sums += measures
        if self._joined is None:
            gradients = [p.grad for p in self.weights if p.grad is not None]
            sizes = torch.stack(torch._foreach_norm(gradients))
        else:
            sizes = self._joined.gradient.norm()
        broke = (self.broken < 0) & ~(torch.isfinite(measures).all() & torch.isfinite(sizes).all())
        self.broken.copy_(torch.where(broke, inputs.number, self.broken))
        self.blame.copy_(torch.where(broke, measures, self.blame))


class _Joined:
    """The gradients of all weights, and the measures, side by side: they are summed and clipped whole."""

    def __init__(self, weights: list[Tensor]) -> None:
        length = sum(p.numel() for p in weights)
        self.all = torch.zeros(length + len(MEASURES), device=weights[0].device)
        self.gradient, self._measures = self.all.split([length, len(MEASURES)])
        self._weights, self._views = weights, []
        place = 0
        for p in weights:
            self._views.append(self.all.as_strided(p.size(), p.stride(), place))
            place += p.numel()

    def take(self, measures: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
        """Copy the gradients and the measures; both are their places here from now on.

        What has no gradient keeps one of zeros.
        """
        pairs = zip(self._views, (p.grad for p in self._weights), strict=True)
        to, of = zip(*((view, grad) for view, grad in pairs if grad is not None), strict=True)
        torch._foreach_copy_([*to, self._measures], [*of, measures])
        for p, view in zip(self._weights, self._views, strict=True):
            p.grad = view
        return self._measures
