"""An HMR-style head with and without prototypes in front of it, trained on the open data.

    python examples/hmr_head.py --project . --steps 1500

It needs `make repro`: the images, and the memories of the runs `single` and `p3dh_k24_l5.0`. The only
difference is the memory that `PrototypeStart` holds: one mean body (HMR's start), or K prototypes.
"""

import argparse
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import pmnet
from pmnet.body.rotations import rot6d_to_rotmat
from pmnet.images.file import Pixels


class HMRHead(nn.Module):
    """HMR's regressor: three corrections of a start, each from features and the current estimate."""

    def __init__(self, features: int, memory: pmnet.PrototypeMemory) -> None:
        super().__init__()
        self.start = pmnet.PrototypeStart(memory, features)  # the prototypes
        self.correction = nn.Sequential(
            nn.Linear(features + 154, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()
        )
        self.last = nn.Linear(512, 154)
        nn.init.xavier_uniform_(self.last.weight, gain=0.01)

    def forward(
        self, features: Tensor, nearest: Tensor | None = None
    ) -> tuple[pmnet.BodyParams, Tensor]:
        """Return bodies and the loss of the prototypes; in training, with the nearest prototypes."""
        start = self.start(features, nearest)
        vector = torch.cat([start.pose, start.betas], 1)
        for _ in range(3):
            vector = vector + self.last(self.correction(torch.cat([features, vector], 1)))
        rotmats = rot6d_to_rotmat(vector[:, :144].reshape(-1, 24, 6))
        return pmnet.BodyParams(rotmats, vector[:, 144:]), start.loss


def encoder() -> nn.Sequential:
    """Return a small convolutional network: 256 features of an image."""
    widths = (3, 32, 64, 128, 128)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(1152, 256))


class OpenData:
    """The samples and images of one data set of the open default."""

    def __init__(self, project: Path, split: str, name: str) -> None:
        samples = pmnet.Samples.load(project / f"data/samples/{split}/{name}.arrow")
        self.params = samples.body_params()
        self.pixels = Pixels(project / f"data/images/{split}/{name}.arrow")

    def images(self, rows: Tensor) -> Tensor:
        """Return the images of some rows, -1 to 1."""
        return self.pixels.read(rows).float() / 127.5 - 1


def train(
    data: OpenData, memory: pmnet.PrototypeMemory, steps: int, batch: int = 24
) -> nn.ModuleList:
    """Return an encoder and a head, trained together on the bodies that the memory was made of."""
    torch.manual_seed(0)
    network, head = encoder(), HMRHead(256, memory)
    model = nn.ModuleList([network, head])
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(data.params), (batch,))
        pred, prototype_loss = head(network(data.images(rows)), memory.assignments[rows])
        true = data.params[rows]
        loss = mse_loss(pred.rotmats, true.rotmats) + 0.01 * mse_loss(pred.betas, true.betas)
        optimizer.zero_grad()
        (10 * loss + prototype_loss).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def mpvpe_mm(model: nn.ModuleList, data: OpenData, body: pmnet.BodyModel) -> Tensor:
    """Return the mean distance (mm) of the vertices of each body, pelvis on pelvis."""
    errors = []
    for rows in torch.arange(len(data.params)).split(64):
        pred, _ = model[1](model[0](data.images(rows)))
        both = pred, data.params[rows]
        p, t = (body.vertices(params) - body.joints(params)[:, :1] for params in both)
        errors.append((p - t).norm(dim=2).mean(1) * 1000)
    return torch.cat(errors)


def compare(
    project: Path, memories: dict[str, Path], steps: int, tests: list[str]
) -> dict[tuple[str, str], float]:
    """Train with each memory of the open training samples; print and return the errors (mm) on the tests."""
    body = pmnet.BodyModel.load(pmnet.OPEN_BODY)
    data, results = OpenData(project, "train", "open_train"), {}
    for name, file in memories.items():
        model = train(data, pmnet.PrototypeMemory.load(file), steps)
        for test in tests:
            mean = float(mpvpe_mm(model, OpenData(project, "test", test), body).mean())
            results[name, test] = mean
            print(f"{name}, {test}: MPVPE {mean:.1f} mm", flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--run", default="p3dh_k24_l5.0")
    options = parser.parse_args()
    runs = options.project / "runs"
    both = {"mean body": runs / "single", "prototypes": runs / options.run}
    files = {name: folder / "memory.npz" for name, folder in both.items()}
    compare(options.project, files, options.steps, ["open_common", "open_rare"])
