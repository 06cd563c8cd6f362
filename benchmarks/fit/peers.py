"""What others do: smplfitter, and L-BFGS over all parameters as in SMPLify (Bogo et al. 2016)."""

import os
import pickle
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.fit.world import World
from pmnet.body import OPEN_BODY, BodyParams, read_body
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.rotating import log
from pmnet.fitting.solver import Placed
from pmnet.fitting.start import JointMap, learn_joint_map

OFFICIAL: Final = "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"
KEYS: Final = (
    "v_template",
    "shapedirs",
    "posedirs",
    "J_regressor",
    "weights",
    "f",
    "kintree_table",
)


class Smplfitter:
    """smplfitter on markers: it needs joints too, which our map from markers to joints gives it."""

    def __init__(self, world: World, points: BodyPoints, vertices: list[int]) -> None:
        from smplfitter.pt import BodyFitter
        from smplfitter.pt import BodyModel as PeerModel

        folder = Path(tempfile.mkdtemp())
        arrays = {key: read_body(OPEN_BODY)[key] for key in KEYS}
        (folder / "smpl").mkdir()
        (folder / "smpl" / OFFICIAL).write_bytes(pickle.dumps(arrays))
        np.save(folder / "kid_template.npy", np.zeros_like(arrays["v_template"]))
        np.save(folder / "smpl" / "kid_template.npy", np.zeros_like(arrays["v_template"]))
        os.environ["SMPLFITTER_BODY_MODELS"] = str(folder)
        device = world.body.faces.device
        joint_map = learn_joint_map(world.body, points, world.learnt)
        model = PeerModel(
            "smpl",
            "neutral",
            str(folder / "smpl"),
            num_betas=10,
            vertex_subset=np.array(vertices),
            joint_regressor_post_lbs=_from_all(joint_map).cpu().float().numpy(),
        ).to(device)
        self._fitter = BodyFitter(model).to(device)
        self._map = joint_map
        self._body, self._points = world.body, points

    def __call__(self, start: Placed, targets: Tensor, weights: Tensor) -> Placed:
        """Return the bodies, three alternations each.

        Missing points weigh nothing, but must be near the body: they are taken from our start.
        """
        posed = self._points.posed(self._body, start.params) + start.translation[:, None]
        joints = self._map.joints_of(targets, weights)
        found = self._fitter.fit(
            torch.where(weights[..., None] > 0, targets, posed),
            target_joints=joints,
            vertex_weights=weights,
            joint_weights=torch.ones_like(joints[..., 0]),
            num_iter=3,
            beta_regularizer=1.0,
            requested_keys=["pose_rotvecs", "shape_betas", "trans"],
        )
        rotvecs = found["pose_rotvecs"].view(-1, 24, 3)
        params = BodyParams.from_rotvecs(rotvecs, found["shape_betas"][:, :10])
        return Placed(params, found["trans"])


def _from_all(joint_map: JointMap) -> Float[Tensor, "24 m"]:
    """Return the matrix that makes joints of points when none is missing."""
    count = len(joint_map.points)
    whole = torch.ones(1, count).to(joint_map.points)
    parts = [
        joint_map.joints_of(unit[None, :, None].expand(1, count, 3), whole)[0, :, 0]
        for unit in torch.eye(count).to(joint_map.points)
    ]
    return torch.stack(parts, 1)


class Lbfgs:
    """L-BFGS with the derivatives of autograd, from the same start, with the same terms as ours."""

    def __init__(self, world: World, points: BodyPoints, prior: PosePrior, steps: int) -> None:
        self._body, self._points, self._prior, self._steps = world.body, points, prior, steps

    def __call__(self, start: Placed, targets: Tensor, weights: Tensor) -> Placed:
        """Return the bodies; each has betas of its own."""
        turns = torch.zeros_like(start.params.rotmats[..., 0])
        unknowns = [turns, start.translation.clone(), start.params.betas.clone()]
        for unknown in unknowns:
            unknown.requires_grad_(True)
        found = torch.optim.LBFGS(
            unknowns, max_iter=self._steps, history_size=20, line_search_fn="strong_wolfe"
        )
        mean, targets = self._prior.means[0], torch.where(weights[..., None] > 0, targets, 0)

        def bodies() -> Placed:
            rotmats = start.params.rotmats @ rotvec_to_rotmat(unknowns[0])
            return Placed(BodyParams(rotmats, unknowns[2]), unknowns[1])

        def cost() -> Float[Tensor, ""]:
            found.zero_grad()
            placed = bodies()
            posed = self._points.posed(self._body, placed.params) + placed.translation[:, None]
            data = (((posed - targets) ** 2).sum(2) * weights).sum() / 0.005**2
            u = log(mean.mT @ placed.params.rotmats[:, 1:]).flatten(1)
            pose = ((u @ self._prior.precision) * u).sum()
            total = 0.5 * (data + 0.4 * pose + placed.params.betas.square().sum())
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            found.step(cost)
        placed = bodies()
        params = BodyParams(placed.params.rotmats.detach(), placed.params.betas.detach())
        return Placed(params, placed.translation.detach())


def has_smplfitter() -> bool:
    """Return whether the peer is installed (extra `bench`)."""
    return find_spec("smplfitter") is not None
