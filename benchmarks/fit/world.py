"""The people of the benchmark: real poses, bodies, and the markers that they wear."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.fitting.markers import OFFSET_M, marker_points, read_table, vertices_of
from pmnet.fitting.points import BodyPoints, joint_points, vertex_normals

USED: Final = 66  # numbers of a pose that are the body's
NOISE_M, MISSING = 0.005, 0.1
CHUNK: Final = 512
MIDDLE: Final = ("C7", "T10", "CLAV", "STRN")
PAIRS: Final = (
    *("LFHD", "LBHD", "LFWT", "LBWT", "LSHO", "LUPA", "LELB", "LIEL", "LFRM", "LIWR", "LOWR"),
    *("LFIN", "LIHAND", "LOHAND", "LTHI", "LKNE", "LKNI", "LSHN", "LANK", "LHEE", "LTOE", "LMT5"),
)
LABELS: Final = (*MIDDLE, *(f"{side}{label[1:]}" for label in PAIRS for side in "LR"))


@dataclass(frozen=True)
class World:
    """N people of known bodies; `subjects` numbers who is who."""

    body: BodyModel
    truth: BodyParams
    vertices: Float[Tensor, "n v 3"]
    subjects: Int[Tensor, "n"]
    learnt: BodyParams  # other people's poses, which priors and starts learn from

    def errors_mm(
        self, params: BodyParams, translation: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n"]:
        """Return the mean distance of the vertices of each body from the truth."""
        parts = []
        for start in range(0, len(params), CHUNK):
            rows = slice(start, start + CHUNK)
            posed = self.body.vertices(params[rows]) + translation[rows, None]
            parts.append((posed - self.vertices[rows]).norm(dim=2).mean(1))
        return 1000 * torch.cat(parts)

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


def world_of(mocap: Path, frames: int, learnt: int, device: torch.device) -> World:
    """Return people of `mocap`/test with betas N(0, 1) per subject, and poses of `mocap`/train."""
    body = BodyModel.load(OPEN_BODY).to(device)
    rotvecs, who = _poses(mocap / "test", frames)
    subjects = torch.from_numpy(np.unique(who, return_inverse=True)[1])
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(int(subjects.max()) + 1, 10, generator=generator)
    truth = BodyParams.from_rotvecs(rotvecs, betas[subjects]).to(device)
    others = _poses(mocap / "train", learnt)[0]
    drawn = torch.randn(len(others), 10, generator=generator)
    vertices = torch.cat(
        [body.vertices(truth[slice(a, a + CHUNK)]) for a in range(0, frames, CHUNK)]
    )
    learnt_from = BodyParams.from_rotvecs(others, drawn).to(device)
    return World(body, truth, vertices, subjects.to(device), learnt_from)


def _poses(folder: Path, count: int) -> tuple[Float[Tensor, "n 24 3"], np.ndarray]:
    """Return poses drawn from all clips below a folder, and the subject of each."""
    clips = sorted(folder.rglob("*.npz"))
    if not clips:
        raise SystemExit(f"{folder}: no clips in AMASS's layout; give their folder by --mocap")
    poses = [np.load(clip)["poses"][:, :USED].astype(np.float32) for clip in clips]
    who = np.repeat([clip.parent.name for clip in clips], [len(own) for own in poses])
    drawn = np.sort(np.random.default_rng(0).permutation(len(who))[:count])
    rotvecs = torch.zeros(len(drawn), 24, 3)
    rotvecs[:, : USED // 3] = torch.from_numpy(np.concatenate(poses)[drawn]).view(-1, 22, 3)
    return rotvecs, who[drawn]
