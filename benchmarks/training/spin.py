"""A loop in the style of SPIN (Kolotouros et al. 2019), written for the comparison.

Worker processes decode, crop, turn and mirror one image at a time; the model runs eagerly in float32; the
bodies of prediction and truth go through `smplx`; the losses pick their samples by boolean masks and every
step reads them one by one. It is not slowed down: all cores work, memory is pinned, the image is resampled
once by compiled code, cuDNN tries its convolutions, and what SPIN does beside training (its fits by SMPLify,
its estimates of translations, its pictures) is left out.
"""

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from benchmarks.rates import Busy, Clock, Plan
from benchmarks.training.spin_people import People
from benchmarks.training.world import World
from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import project
from pmnet.body.keypoints import J24_HIPS
from pmnet.model.losses import LossWeights
from pmnet.model.network import PMNet, unpack
from pmnet.training.options import Train
from pmnet.training.run import build_network

AFTER = 5  # steps in which the profiler watches


def spin_style_loop(
    world: World, device: torch.device, plan: Plan, workers: int, watched: bool
) -> tuple[Clock, Busy]:
    """Train for the windows of a plan and AFTER steps more, and return what was measured."""
    loop = _Loop(world, device, plan, watched)
    steps = plan.counted * plan.window + AFTER
    people = People(world)
    sampler = RandomSampler(people, num_samples=steps * world.train.batch_size)
    loader = DataLoader(
        people,
        world.train.batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        multiprocessing_context="spawn" if workers else None,
    )
    for number, batch in enumerate(loader, 1):
        loop.take(number, batch)
    loop.busy.__exit__()
    return loop.clock, loop.busy


class _Loop:
    """The model, its optimizer, and the clock."""

    def __init__(self, world: World, device: torch.device, plan: Plan, watched: bool) -> None:
        self._body, memory, _ = world.opened()
        self._body.to(device)
        self._device, self._options, self._plan = device, world.train, plan
        self._network = build_network(world.train, memory).to(device).train()
        rate = world.train.learning_rate
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=rate)
        self.clock, self.busy = Clock(plan, world.train.batch_size), Busy(AFTER, watched)
        self.log: dict[str, float] = {}

    def take(self, number: int, batch: dict[str, Tensor]) -> None:
        """Take a step; all of its losses are read, so the device is done."""
        batch = {name: value.to(self._device) for name, value in batch.items()}
        losses = spin_losses(self._network, self._body, batch, self._options)
        self._optimizer.zero_grad()
        losses["loss"].backward()
        self._optimizer.step()
        self.log = {name: value.item() for name, value in losses.items()}
        if number % self._plan.window == 0 and number <= self._plan.counted * self._plan.window:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            self.clock.tick()
        if number == self._plan.counted * self._plan.window:
            self.busy.__enter__()


def spin_losses(
    network: PMNet, body: BodyModel, batch: dict[str, Tensor], options: Train
) -> dict[str, Tensor]:
    """Return the loss and its terms."""
    features = network.neck(network.encoder(batch["images"]))
    scores = network.classifier(features)
    pred = unpack(network.regress(features, network.from_prototypes(batch["prototype"])))
    with torch.no_grad():  # SPIN makes the vertices of the truth in every step
        true_vertices = body(BodyParams(batch["pose"], batch["betas"])).vertices
    vertices = body(pred.params).vertices
    joints = body.keypoints(vertices)
    smpl, known = batch["has_smpl"] == 1, batch["has_keypoints_3d"] == 1
    terms = {
        "keypoints_3d": _bones_loss(joints[known], batch["bones"][known]),
        "keypoints_2d": _points_loss(project(joints, pred.camera), batch["points"]),
        "pose": (pred.params.rotmats[smpl] - batch["pose"][smpl]).square().mean(),
        "betas": (pred.params.betas[smpl] - batch["betas"][smpl]).square().mean(),
        "prototype": torch.nn.functional.cross_entropy(scores[smpl], batch["prototype"][smpl]),
        "vertices": (vertices[smpl] - true_vertices[smpl]).abs().mean(),
    }
    return {"loss": _weighted(terms, options.loss), **terms}


def _weighted(terms: dict[str, Tensor], w: LossWeights) -> Tensor:
    """Return the sum of the terms; SPIN's weight of the vertices is 0."""
    names = ("keypoints_3d", "keypoints_2d", "pose", "betas")
    regression = sum(getattr(w, name) * terms[name] for name in names)
    return (
        w.regression_scale * regression + w.prototype * terms["prototype"] + 0 * terms["vertices"]
    )


def _points_loss(points: Tensor, true: Tensor) -> Tensor:
    return (true[..., 2:] * (points - true[..., :2]).square()).mean()


def _bones_loss(joints: Tensor, true: Tensor) -> Tensor:
    """Return the loss of joints about the middle of the hips."""
    hips = list(J24_HIPS)
    joints = joints - joints[:, hips].mean(1, keepdim=True)
    bones = true[..., :3] - true[:, hips, :3].mean(1, keepdim=True)
    return (true[..., 3:] * (joints - bones).square()).mean()
