"""Samples made from poses alone: each body is seen by a virtual camera, and can be rendered."""

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import BOX_PX, View, crop_to_px, frame_bodies, project, view_bodies
from pmnet.core.device import in_threads
from pmnet.data.samples import About, Samples

CHUNK = 1024  # bodies posed at once


def posed_samples(
    about: About,
    upright: BodyParams,
    view: View,
    body: BodyModel,
    generator: torch.Generator,
    subject: list[str],
    sequence: list[str],
    gender: list[str] | None = None,
) -> Samples:
    """Return samples of bodies that stand upright with y up, each seen by a camera of its own.

    `gender` is the gender of the body model that the betas belong to; None where all are neutral.
    """
    orient = view_bodies(upright.rotmats[:, 0], view, generator)
    rotmats = torch.cat([orient[:, None], upright.rotmats[:, 1:]], 1)
    seen = BodyParams(rotmats, upright.betas)
    cameras, joints = _look(seen, view, body, generator)
    n = len(seen)
    center = torch.full((n, 2), BOX_PX / 2)
    scale = torch.ones(n)
    keypoints_2d = crop_to_px(project(joints, cameras), center, scale)
    seen_by_all = torch.ones(n, joints.shape[1], 1)
    rotvecs = seen.rotvecs()
    return Samples(
        about=about,
        global_orient=rotvecs[:, 0],
        body_pose=rotvecs[:, 1:].reshape(n, -1),
        betas=seen.betas,
        keypoints_2d=torch.cat([keypoints_2d, seen_by_all], 2),
        keypoints_3d=torch.cat([joints - joints[:, :1], seen_by_all], 2),
        camera=cameras,
        center=center,
        scale=scale,
        has_smpl=torch.ones(n, dtype=torch.bool),
        has_keypoints_3d=torch.ones(n, dtype=torch.bool),
        image_name=[f"{about.dataset}/{row:07d}" for row in range(n)],
        subject=subject,
        gender=["neutral"] * n if gender is None else gender,
        sequence=sequence,
    )


def _look(
    seen: BodyParams, view: View, body: BodyModel, generator: torch.Generator
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 24 3"]]:
    def ends_of(part: BodyParams) -> tuple[Tensor, Tensor]:
        vertices = body.vertices(part)
        return torch.stack([vertices.amin(1), vertices.amax(1)], 1), body.joints(part)

    parts = [seen[slice(start, start + CHUNK)] for start in range(0, len(seen), CHUNK)]
    cameras, joints = [], []
    for ends, own in in_threads(ends_of, parts):
        cameras.append(frame_bodies(ends, view, generator))
        joints.append(own)
    return torch.cat(cameras), torch.cat(joints)
