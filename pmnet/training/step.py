"""One step of training, from rows and images to changed weights; on a GPU recorded once and replayed.

All that differs between steps is copied into tensors that stay where they are, so that the whole step is
one CUDA graph: Python and the launch of a thousand kernels are paid for once.
"""

import math
from collections import deque
from dataclasses import replace
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed import all_reduce

from pmnet.core.cuda_graph import CudaGraph
from pmnet.images.augmentation import Labels, augment, changes_bodies
from pmnet.memory.nearest import NearestPrototype
from pmnet.model.losses import (
    LEAST,
    TrainingTargets,
    camera_square,
    loss_terms,
    term_totals,
    term_weights,
    total_loss,
)
from pmnet.model.network import PMNet, unpack
from pmnet.training.batches import combined_seed
from pmnet.training.classes import class_targets
from pmnet.training.inputs import Inputs
from pmnet.training.log import MEANS, MEASURES
from pmnet.training.run import TrainingRun

EAGER: Final = 3  # steps before the recording: they allocate what all later steps use
AHEAD: Final = 8  # steps that may wait on the device


class Step:
    """The step: what it works on, and what it keeps between steps."""

    def __init__(self, network: PMNet, run: TrainingRun) -> None:
        """Put the network and all that the steps share on the device."""
        self.options, self.fabric = run.options, run.fabric
        self._joints, self._size_px = run.data.joints, run.data.images.size_px
        device, options = run.fabric.device, run.options
        self.network = _prepared(network, run)
        self.weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        on_gpu = device.type == "cuda"
        rate = (
            torch.tensor(options.learning_rate, device=device) if on_gpu else options.learning_rate
        )
        self.optimizer = torch.optim.Adam(self.weights, lr=rate, fused=True, capturable=on_gpu)
        self._seed, self._drops = run.seed, options.estimator == "spin"
        self._body = run.body.to(device)
        changes = changes_bodies(options.augmentation)
        self._labeller = NearestPrototype(run.memory, self._body) if changes else None
        self._classes = class_targets(run.memory, self._body, options)
        self._targets = run.data.targets.to(device)
        self._sums, self._count = torch.zeros(len(MEANS), device=device), 0
        self._broken = torch.full((), -1, device=device)
        self._blame = torch.zeros(len(MEASURES), device=device)
        self._average = [p.detach().clone() for p in self.weights] if options.ema else []
        joined = run.fabric.world_size > 1 or options.clip_norm > 0
        self._joined = _Joined(self.weights) if joined else None
        self._graph = CudaGraph(lambda *tensors: self._compute(Inputs.of(*tensors)), EAGER)
        self._waiting: deque[Any] = deque()
        if options.compile:
            self._compile()

    def _compile(self) -> None:
        """Let torch fuse the operations of a step, which takes a minute at the first step."""
        self.network.compile()
        self.batch = torch.compile(self.batch)  # type: ignore[method-assign]
        self._losses = torch.compile(self._losses)  # type: ignore[method-assign]
        self._totals = torch.compile(self._totals)  # type: ignore[method-assign]

    def close(self) -> None:
        """Drop the graph of the step; see `CudaGraph.close`."""
        self._graph.close()

    def __call__(self, inputs: Inputs, rate: float) -> None:
        """Take one step at a learning rate."""
        if self._drops:  # dropout by the number of the step: a resumed training draws the same
            torch.manual_seed(combined_seed(self._seed, 4, int(inputs.number)))
        inputs = inputs.to(self.fabric.device)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._count += 1
        if self.fabric.device.type == "cpu":
            self._compute(inputs)
            return
        self._graph(*inputs.tensors())
        event = torch.cuda.Event()
        event.record()
        self._waiting.append(event)
        if len(self._waiting) > AHEAD:
            self._waiting.popleft().synchronize()

    def take_means(self) -> list[float]:
        """Return the MEANS over the steps since the last call, and start anew."""
        means: list[float] = (self._sums / self._count).tolist()
        self._sums.zero_()
        self._count = 0
        return means

    def fault(self) -> tuple[int, list[str]] | None:
        """Return the first step that was not finite, with its terms at fault; none is the gradient."""
        number = int(self._broken)
        if number < 0:
            return None
        blame = dict(zip(MEASURES, self._blame.tolist(), strict=True))
        terms = [name for name, value in blame.items() if not math.isfinite(value)]
        return number, [name for name in terms if name != "loss"]

    def keep_average(self) -> None:
        """Set the weights to their running mean, where `ema` asks for one."""
        for weight, mean in zip(self.weights, self._average, strict=False):
            weight.data.copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes from step to step."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self._average,
            "sums": self._sums,
            "count": self._count,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier training by the same settings."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for weight, kept in self.optimizer.state.items():
            if any(kept[name].shape != weight.shape for name in ("exp_avg", "exp_avg_sq")):
                raise ValueError("its optimizer has other shapes")
        for mine, saved in zip(self._average, state["average"], strict=True):
            mine.copy_(saved)
        self._sums.copy_(state["sums"].view_as(self._sums))
        self._count = state["count"]

    def _compute(self, inputs: Inputs) -> None:
        options = self.options
        images, targets = self.batch(inputs)
        totals = self._totals(targets) if self.fabric.world_size > 1 else None
        summed = None if totals is None else all_reduce(totals, async_op=True)
        with self.fabric.autocast():
            vector, scores = self.network(images, targets.prototype, inputs.predicted)
        if summed is not None:
            summed.wait()
        loss, measures = self._losses(vector, scores, targets, totals)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            if self._joined is not None:
                measures = self._joined.take(measures)
                if self.fabric.world_size > 1:
                    all_reduce(self._joined.all)
            norm = self._gradient_norm()
            self._clip(norm)
            self._measure(inputs, measures, norm)
        self.optimizer.step()
        if self._average:
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self.weights, 1 - options.ema)

    def batch(self, inputs: Inputs) -> tuple[Float[Tensor, "b 3 s s"], TrainingTargets]:
        """Return the augmented images and targets of a step, with the prototypes of the moved bodies."""
        targets = self._targets[inputs.rows]
        images = inputs.images.permute(0, 3, 1, 2).float() / 255
        labels = Labels(targets.params, targets.keypoints_2d, targets.keypoints_3d)
        options = self.options.augmentation
        images, labels = augment(images, labels, self._joints, self._size_px, options, inputs.draws)
        targets = replace(
            targets,
            params=labels.params,
            keypoints_2d=labels.keypoints_2d,
            keypoints_3d=labels.keypoints_3d,
        )
        if self._labeller is not None:
            nearest = self._labeller.relabel(targets.params, targets.has_smpl, targets.prototype)
            targets = replace(targets, prototype=nearest)
        return images, targets

    def _totals(self, targets: TrainingTargets) -> Float[Tensor, "6"]:
        """Return the denominators of the means of a batch, over this process's part of it."""
        weights = term_weights(targets, self._joints, self._classes)
        totals = term_totals(weights, targets, self.options.loss.mean_over)
        return torch.cat([totals, targets.has_smpl.float().sum()[None]])

    def _losses(
        self,
        vector: Float[Tensor, "b 157"],
        scores: Float[Tensor, "b k"],
        targets: TrainingTargets,
        totals: Float[Tensor, "6"] | None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m"]]:
        """Return this process's share of the loss, and its share of all MEASURES, detached."""
        pred = unpack(vector.float())
        terms = loss_terms(
            pred,
            scores.float(),
            targets,
            self._body,
            self._joints,
            self._classes,
            self.options.balance.mse_noise,
            None if totals is None else totals[:-1],
            self.options.loss.mean_over,
        )
        loss = total_loss(terms, self.options.loss, *self._regularised(pred.camera))
        known = targets.has_smpl.float()
        right = ((scores.argmax(1) == targets.prototype) * known).sum()
        samples = known.sum() if totals is None else totals[-1]
        accuracy = right / samples.clamp_min(LEAST)
        return loss, torch.stack([loss, *terms.values(), accuracy]).detach()

    def _regularised(self, camera: Float[Tensor, "b 3"]) -> list[Float[Tensor, ""]]:
        """Return this process's share of the mean `camera_square` of the batch; nothing if it weighs 0."""
        if not self.options.loss.camera:
            return []
        return [camera_square(camera).sum() / (len(camera) * self.fabric.world_size)]

    def _gradient_norm(self) -> Float[Tensor, ""]:
        """Return the length of the whole gradient."""
        if self._joined is not None:
            return self._joined.gradient.norm()
        gradients = [p.grad for p in self.weights if p.grad is not None]
        return torch.stack(torch._foreach_norm(gradients)).norm()

    def _clip(self, norm: Float[Tensor, ""]) -> None:
        """Scale the gradient down to the length `clip_norm`, if it is longer."""
        if self._joined is not None and (limit := self.options.clip_norm):
            self._joined.gradient *= (limit / norm.clamp_min(1e-12)).clamp_max(1.0)

    def _measure(
        self, inputs: Inputs, measures: Float[Tensor, "m"], norm: Float[Tensor, ""]
    ) -> None:
        """Add up the measures, and note the first step whose measures or gradients are not finite."""
        self._sums += torch.cat([measures, norm[None]])
        broke = (self._broken < 0) & ~(torch.isfinite(measures).all() & torch.isfinite(norm))
        self._broken.copy_(torch.where(broke, inputs.number, self._broken))
        self._blame.copy_(torch.where(broke, measures, self._blame))


def _prepared(network: PMNet, run: TrainingRun) -> PMNet:
    """Return the network on the device, in training mode, its encoder frozen where the settings say so."""
    network.to(run.fabric.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.encoder.requires_grad_(not run.options.freeze_encoder)
    network.encoder.train(not run.options.freeze_encoder)
    return network


class _Joined:
    """All gradients and the measures in one vector, so that they are summed and clipped at once."""

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
        """Copy the gradients and the measures into the vector, and return the measures there.

        The gradients of the weights become views of the vector; a weight without one gets zeros.
        """
        pairs = zip(self._views, (p.grad for p in self._weights), strict=True)
        to, of = zip(*((view, grad) for view, grad in pairs if grad is not None), strict=True)
        torch._foreach_copy_([*to, self._measures], [*of, measures])
        for p, view in zip(self._weights, self._views, strict=True):
            p.grad = view
        return self._measures
