"""The people of the benchmark: real poses, bodies, and the markers that they wear."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.camera import View
from pmnet.datasets import synthetic
from pmnet.fitting.markers import OFFSET_M, marker_points, read_table, vertices_of
from pmnet.fitting.points import BodyPoints, joint_points, vertex_normals

USED: Final = 66  # numbers of a pose that are the body's
NOISE_M, MISSING = 0.005, 0.1
CHUNK: Final = 512
SUBJECTS: Final = 12  # of acted poses
MIDDLE: Final = ("C7", "T10", "CLAV", "STRN")
PAIRS: Final = (
    *("LFHD", "LBHD", "LFWT", "LBWT", "LSHO", "LUPA", "LELB", "LIEL", "LFRM", "LIWR", "LOWR"),
    *("LFIN", "LIHAND", "LOHAND", "LTHI", "LKNE", "LKNI", "LSHN", "LANK", "LHEE", "LTOE", "LMT5"),
)
LABELS: Final = (*MIDDLE, *(f"{side}{label[1:]}" for label in PAIRS for side in "LR"))


@dataclass(frozen=True)
class World:
    """N people of known bodies; `subjects` and `clips` number who is who, and in which recording."""

    body: BodyModel
    truth: BodyParams
    vertices: Float[Tensor, "n v 3"]
    subjects: Int[Tensor, "n"]
    clips: Int[Tensor, "n"]
    learnt: BodyParams  # other people's poses, which priors and starts learn from

    def errors_mm(
        self, params: BodyParams, translation: Float[Tensor, "b 3"]
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        """Return the mean distance of vertices and joints of each body from the truth.

        More bodies than people are those of the people over and over.
        """
        of_vertices, of_joints = [], []
        joints = self.body.joints(self.truth)
        person = torch.arange(len(params), device=translation.device) % len(self.truth)
        for start in range(0, len(params), CHUNK):
            rows = slice(start, start + CHUNK)
            own, shift = person[rows], translation[rows, None]
            posed = self.body.vertices(params[rows]) + shift
            of_vertices.append((posed - self.vertices[own]).norm(dim=2).mean(1))
            placed = self.body.joints(params[rows]) + shift
            of_joints.append((placed - joints[own]).norm(dim=2).mean(1))
        return 1000 * torch.cat(of_vertices), 1000 * torch.cat(of_joints)

    def markers(self) -> tuple[BodyPoints, Float[Tensor, "n m 3"], Float[Tensor, "n m"]]:
        """Return the 48 points of LABELS, where they were seen (m), and 0 where they are missing.

        The markers lie 9.5 mm from the posed skin; the points, as a user has them, from the unposed skin.
        """
        table = read_table()
        chosen = vertices_of(self.body, [table[label] for label in LABELS])
        worn = torch.cat(
            [
                part[:, chosen] + OFFSET_M * vertex_normals(part, self.body.faces)[:, chosen]
                for part in self.vertices.split(CHUNK)
            ]
        )
        return marker_points(self.body, LABELS, table), *self._seen(worn)

    def joints(self) -> tuple[BodyPoints, Float[Tensor, "n 24 3"], Float[Tensor, "n 24"]]:
        """Return the 24 joints as points, where they were seen (m), and their weights of 1."""
        seen, weights = self._seen(self.body.joints(self.truth))
        return joint_points(self.body), seen, torch.ones_like(weights)

    def _seen(self, points: Tensor) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(points.shape, generator=generator).to(points)
        weights = (torch.rand(points.shape[:2], generator=generator) >= MISSING).float().to(points)
        return points + NOISE_M * noise, weights


def world_of(mocap: Path | None, frames: int, learnt: int, device: torch.device) -> World:
    """Return people of `mocap`/test with betas N(0, 1) per subject, and poses of `mocap`/train.

    Without mocap, poses are drawn from hand-written families of actions, the same for all subjects.
    """
    body = BodyModel.load(OPEN_BODY).to(device)
    rotvecs, clip_of = _poses(mocap / "test", frames) if mocap else _acted(frames, 0)
    who = [clip.rpartition("/")[0] for clip in clip_of.tolist()]
    subjects = torch.from_numpy(np.unique(who, return_inverse=True)[1])
    clips = torch.from_numpy(np.unique(clip_of, return_inverse=True)[1])
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(int(subjects.max()) + 1, 10, generator=generator)
    truth = BodyParams.from_rotvecs(rotvecs, betas[subjects]).to(device)
    others = _poses(mocap / "train", learnt)[0] if mocap else _acted(learnt, 1)[0]
    drawn = torch.randn(len(others), 10, generator=generator)
    vertices = torch.cat(
        [body.vertices(truth[slice(a, a + CHUNK)]) for a in range(0, len(truth), CHUNK)]
    )
    learnt_from = BodyParams.from_rotvecs(others, drawn).to(device)
    return World(body, truth, vertices, subjects.to(device), clips.to(device), learnt_from)


def _poses(folder: Path, count: int) -> tuple[Float[Tensor, "n 24 3"], np.ndarray]:
    """Return poses drawn from all clips below a folder, and SUBJECT/CLIP of each."""
    clips = sorted(folder.rglob("*.npz"))
    if not clips:
        raise SystemExit(f"{folder}: no clips in AMASS's layout; give their folder by --mocap")
    poses = [np.load(clip)["poses"][:, :USED].astype(np.float32) for clip in clips]
    names = [f"{clip.parent.name}/{clip.stem}" for clip in clips]
    who = np.repeat(names, [len(own) for own in poses])
    drawn = np.sort(np.random.default_rng(0).permutation(len(who))[:count])
    rotvecs = torch.zeros(len(drawn), 24, 3)
    rotvecs[:, : USED // 3] = torch.from_numpy(np.concatenate(poses)[drawn]).view(-1, 22, 3)
    return rotvecs, who[drawn]


def _acted(count: int, seed: int) -> tuple[Float[Tensor, "n 24 3"], np.ndarray]:
    """Return poses of hand-written families of actions, shared out among subjects of one clip each."""
    view = View(0.0, 0.0, 0.0, 0.0, margin=0.9, margin_spread=0.0, shift=0.0)
    families = dict.fromkeys(synthetic.FAMILIES, 1.0)
    drawn = synthetic.Options(count, families, 8.0, 1.0, view, seed)
    body = BodyModel.load(OPEN_BODY)
    rotvecs = synthetic.read("benchmark", Path(), drawn, body).body_params().rotvecs()
    who = np.array([f"{number % SUBJECTS:02}/actions" for number in range(count)])
    return rotvecs, who
