"""The predictions of a video as a motion per person: files in AMASS's layout, and key frames."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from pmnet.body import BodyModel, BodyParams
from pmnet.core.files import replacing
from pmnet.predict.predictions import Predictions

AMASS_WIDTH: Final = 156  # numbers of a pose of SMPL-H; hands stay at rest
SHARED: Final = 66  # the root and the 21 joints that SMPL and SMPL-H share
# from the camera frame (x right, y down, z away) to AMASS's world, z up: x right, y away
TO_WORLD: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))


@dataclass(frozen=True)
class PersonMotion:
    """The frames in which one person is seen; the betas are their mean over the frames."""

    person: int
    frames: Int[np.ndarray, "t"]
    params: BodyParams
    translation: Float[np.ndarray, "t 3"]
    names: list[str]


def motions(predictions: Predictions, order: dict[str, int]) -> list[PersonMotion]:
    """Return the motion of each person; `order` gives the frame of each picture."""
    frames = np.array([order[name] for name in predictions.image_name.tolist()], np.int64)
    found = []
    for person in sorted(set(predictions.person.tolist())):
        rows = np.flatnonzero(predictions.person == person)
        rows = rows[np.argsort(frames[rows], kind="stable")]
        part = predictions.rows(rows.tolist())
        own = part.body_params()
        betas = own.betas.mean(0).expand(len(own), -1)
        params = BodyParams(own.rotmats, betas)
        names = part.image_name.tolist()
        found.append(PersonMotion(person, frames[rows], params, part.translation, names))
    return found


def write_amass(path: Path, motion: PersonMotion, fps: float, body: BodyModel) -> None:
    """Write a motion in AMASS's layout: poses (T, 156), trans (T, 3), betas, gender, rate; z up.

    The camera stands at the origin and looks along y. Frames without the person are left out: `frames`
    numbers those that are there, and `image_name` names them.
    """
    turn = torch.tensor(TO_WORLD)
    rotmats = motion.params.rotmats.clone()
    rotmats[:, 0] = turn @ rotmats[:, 0]
    root = body.rest_joints(motion.params.betas.to(body.faces.device))[:, 0].cpu()
    placed = torch.from_numpy(motion.translation).float() + root  # SMPL turns about the root joint
    poses = np.zeros((len(rotmats), AMASS_WIDTH), np.float32)
    turned = BodyParams(rotmats, motion.params.betas).rotvecs().reshape(len(rotmats), -1)
    poses[:, :SHARED] = turned[:, :SHARED].numpy()
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            poses=poses,
            trans=(placed @ turn.T - root).numpy(),
            betas=motion.params.betas[0].numpy(),
            num_betas=np.array(10),
            gender=np.array("neutral"),
            surface_model_type=np.array("smpl"),
            mocap_framerate=np.array(float(fps)),
            mocap_frame_rate=np.array(float(fps)),
            frames=motion.frames,
            image_name=np.array(motion.names),
            body=np.array(body.sha256),
        )
