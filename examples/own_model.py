"""A model as a user may have one: poses out of 2D keypoints by ridge regression, written for `pmnet score`.

python examples/own_model.py data/samples/train/open_train.arrow data/samples/test/open_rare.arrow ridge.npz
"""

import sys
from pathlib import Path

import numpy as np
import torch

from pmnet.data.samples import Samples


def features(samples: Samples) -> torch.Tensor:
    """Return the keypoints of the crop, their squares, and 1."""
    points = samples.keypoints_in_crop().reshape(len(samples), -1)
    return torch.cat([points, points.square(), torch.ones(len(samples), 1)], 1)


def predict(train: Samples, test: Samples, out: Path, weight: float = 1e-2) -> None:
    """Fit rotations in 6D on `train`, predict `test`, and write the npz that docs/score.md describes."""
    x, y = features(train), train.body_params().rotmats[..., :2].reshape(len(train), -1)
    matrix = torch.linalg.solve(x.T @ x + weight * torch.eye(x.shape[1]), x.T @ y)
    first, second = (features(test) @ matrix).view(-1, 24, 3, 2).unbind(-1)
    a = torch.nn.functional.normalize(first, dim=-1)
    b = torch.nn.functional.normalize(second - (a * second).sum(-1, keepdim=True) * a, dim=-1)
    rotations = torch.stack([a, b, torch.linalg.cross(a, b)], -1)
    betas = train.betas.mean(0).expand(len(test), 10)
    names = np.array(test.image_name)
    np.savez(out, image_name=names, pose=rotations.numpy(), betas=betas.numpy())


if __name__ == "__main__":
    train, test, out = map(Path, sys.argv[1:])
    predict(Samples.load(train), Samples.load(test), out)
