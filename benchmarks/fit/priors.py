"""The prior around the nearest prototype against one Gaussian, in fits to joints of unknown people.

`python -m benchmarks.fit --priors --mocap FOLDER` writes reports/benchmarks/fit_priors.csv. Priors are learnt
from the poses of train subjects and their mirror images; prototypes are P3DH K-Means' (Algorithm 1) of the
same poses. The 24 joints have 5 mm of noise, and leave the twist of limbs, head, hands and feet to the prior.
The tail is the 5 % of the frames whose poses lie farthest from the mean pose (mean distance of the vertices,
same root and shape). `gain_mm` is how much less the mean vertex error in the tail is than with one Gaussian
of the same weight; `low_mm` and `high_mm` are its 95 % interval: subjects are redrawn, and clips within them.
"""

import argparse
import csv
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks.fit.world import CHUNK, World, world_of
from benchmarks.measuring import machine_name
from pmnet.body import BodyParams
from pmnet.body.parts import mirror_rotmats
from pmnet.clustering.poses import cluster_poses
from pmnet.core.files import replacing
from pmnet.fitting.options import fit_options
from pmnet.fitting.prior import FLOOR_RAD, PosePrior, learn_prior
from pmnet.fitting.subject import SubjectFitter
from pmnet.report.redraws import Clips, shares

PROTOTYPES: Final = (5, 20, 50)
WEIGHTS: Final = (0.4, 1.0)  # of the prior; the first is the default
TAIL: Final = 0.05
DRAWS: Final = 5000


@dataclass(frozen=True)
class PriorRow:
    """A prior; `prototypes` is 0 for one Gaussian."""

    prototypes: int
    prior_weight: float
    frames: int
    mean_mm: float
    tail5_mm: float
    gain_mm: float
    low_mm: float
    high_mm: float
    joints_mm: float
    joints_tail5_mm: float
    poses: str
    machine: str


def compare_priors(options: argparse.Namespace) -> None:
    """Fit with all priors, print the table and write it."""
    device = torch.device(options.device)
    world = world_of(options.mocap, options.frames, options.learnt, device)
    tail = in_tail(world)
    rows: list[PriorRow] = []
    gaussian: dict[float, Tensor] = {}
    for count in (0, *PROTOTYPES):
        prior = prior_of(world, count)
        for weight in WEIGHTS:
            vertices, joints = fitted(world, prior, weight)
            gaussian.setdefault(weight, vertices)
            gain, low, high = gain_in(tail, gaussian[weight] - vertices, world)
            row = PriorRow(
                prototypes=count,
                prior_weight=weight,
                frames=len(vertices),
                mean_mm=round(vertices.mean().item(), 2),
                tail5_mm=round(vertices[tail].mean().item(), 2),
                gain_mm=round(gain, 2),
                low_mm=round(low, 2),
                high_mm=round(high, 2),
                joints_mm=round(joints.mean().item(), 2),
                joints_tail5_mm=round(joints[tail].mean().item(), 2),
                poses="mocap" if options.mocap else "acted",
                machine=machine_name(device),
            )
            print("  ".join(str(value) for value in asdict(row).values()), flush=True)
            rows.append(row)
            out = options.out / "fit_priors.csv"
            with replacing(out) as unfinished, unfinished.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, [field.name for field in fields(PriorRow)])
                writer.writeheader()
                writer.writerows(asdict(each) for each in rows)


def prior_of(world: World, prototypes: int) -> PosePrior:
    """Return the prior of the poses that are learnt from, around K prototypes or (0) one mean."""
    pose = world.learnt.rotmats
    if prototypes == 0:
        return learn_prior(pose[:, 1:], FLOOR_RAD)
    both = torch.cat([pose, mirror_rotmats(pose)])
    both[:, 0] = torch.eye(3).to(both)
    alike = BodyParams(both, both.new_zeros(len(both), 10))
    memory = cluster_poses(alike, world.body, prototypes)
    means = memory.prototypes.rotmats[:, 1:].to(pose)
    return learn_prior(pose[:, 1:], FLOOR_RAD, means)


def fitted(
    world: World, prior: PosePrior, weight: float
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the errors (mm) of vertices and joints per frame; each subject has its own shape."""
    points, targets, weights = world.joints()
    options = fit_options({"prior": weight}, "benchmark")
    fitter = SubjectFitter(world.body, points, prior, world.learnt, options)
    vertices = targets.new_zeros(len(targets))
    joints = vertices.clone()
    truth_joints = world.body.joints(world.truth)
    for number in world.subjects.unique().tolist():
        rows = (world.subjects == number).nonzero()[:, 0]
        placed = fitter(targets[rows], weights[rows]).placed
        for start in range(0, len(rows), CHUNK):
            own, part = rows[start : start + CHUNK], slice(start, start + CHUNK)
            shift = placed.translation[part, None]
            posed = world.body.vertices(placed.params[part]) + shift
            vertices[own] = 1000 * (posed - world.vertices[own]).norm(dim=2).mean(1)
            found = world.body.joints(placed.params[part]) + shift
            joints[own] = 1000 * (found - truth_joints[own]).norm(dim=2).mean(1)
    return vertices, joints


def in_tail(world: World) -> Bool[Tensor, "n"]:
    """Return which frames have the poses that lie farthest from the mean pose."""
    mean = learn_prior(world.learnt.rotmats[:, 1:], FLOOR_RAD).mean_pose
    root = torch.eye(3).to(mean)[None]
    middle = torch.cat([root, mean])[None]
    away = []
    for rotmats in world.truth.rotmats.split(CHUNK):
        alike = rotmats.clone()
        alike[:, 0] = root
        both = torch.cat([middle, alike])
        posed = world.body.vertices(BodyParams(both, both.new_zeros(len(both), 10)))
        away.append((posed[1:] - posed[:1]).norm(dim=2).mean(1))
    distances = torch.cat(away)
    return distances > distances.quantile(1 - TAIL)


def gain_in(
    tail: Bool[Tensor, "n"], less: Float[Tensor, "n"], world: World
) -> tuple[float, float, float]:
    """Return the mean of `less` in the tail, and its 95 % interval over subjects and clips."""
    inside = tail.cpu().numpy()
    values, clip = less[tail].double().cpu().numpy(), world.clips.cpu().numpy()
    subject_of_clip = np.zeros(clip.max() + 1, int)
    subject_of_clip[clip] = world.subjects.cpu().numpy()
    clips = Clips(clip, subject_of_clip).part(inside)
    times = shares(clips.subjects, DRAWS, (0, 0))
    sums = np.bincount(clips.of_sample, values, len(clips.subjects))
    counts = np.bincount(clips.of_sample, minlength=len(clips.subjects))
    means = (sums @ times) / (counts @ times)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
