"""Faults of ingested samples that no reader of files can see: they show in the bodies and the joints.

Each test gives one sentence: the fault, the number of rows, and what to do. Only one test reads images.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.camera import fit_camera, project
from pmnet.body.parts import JOINTS
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.images.crops import AS_STORED, TOO_LARGE, Cropper, Reading, turned_size

POSED_ROWS: Final = 2000  # for tests that pose bodies; the other tests take all rows
CROPPED_ROWS, CROP_PX = 200, 32
NAMES_SHOWN: Final = 3  # in a message
UPRIGHT: Final = 0.5  # least share of people with the head above the pelvis; rare poses are few
APART: Final = 0.08  # largest distance of body and annotated joints, as a share of the box
APART_M: Final = 0.15  # the same in 3D
TURN_RAD: Final = 7.0  # more than a full turn: most likely degrees
SIZE_M: Final = (0.3, 3.0)  # how far the joints of a person spread
WILD_BETA: Final = 5.0
PICTURES, BOXES = "pictures with their boxes", "boxes with 2D joints"
UPRIGHT_PEOPLE: Final = "bodies with the camera's axes"
BODIES_2D, BODIES_3D = "bodies with 2D joints", "bodies with 3D joints"
COMPARED: Final = (PICTURES, BOXES, UPRIGHT_PEOPLE, BODIES_2D, BODIES_3D)


@dataclass(frozen=True)
class Finding:
    """One result of a test: those that are "wrong" make `pmnet check` fail, notes do not."""

    kind: Literal["wrong", "note"]
    text: str


def inspect(
    samples: Samples, body: BodyModel, reading: Reading = AS_STORED
) -> tuple[list[Finding], dict[str, int]]:
    """Return all findings about the samples of one data set, and how often what was compared with what.

    `reading` says whether the labels belong to pictures that are turned by their EXIF headers.
    """
    compared = dict.fromkeys(COMPARED, 0)
    tests: list[Callable[[Samples, BodyModel], Iterator[Finding]]] = [
        *(_duplicates, _rotations, _shapes, _sizes),
    ]
    findings = [*_images(samples, reading, compared)]
    findings += [finding for test in tests for finding in test(samples, body)]
    findings += [*_boxes(samples, compared), *_bodies(samples, body, compared)]
    return findings, compared


def total(parts: Iterable[dict[str, int]]) -> str:
    """Return in words what was compared in all data sets; "nothing" where nothing was."""
    sums = dict.fromkeys(COMPARED, 0)
    for part in parts:
        sums = {what: sums[what] + part.get(what, 0) for what in sums}
    return ", ".join(f"{count:,} {what}" for what, count in sums.items() if count) or "nothing"


def missing_images(samples: Samples) -> list[str]:
    """Return the names of the images whose files are missing."""
    names = dict.fromkeys(samples.image_name)
    # os.path says no, where Path raises, of names that are too long and folders that may not be entered
    return [name for name in names if not os.path.isfile(Path(samples.about.root) / name)]


def _images(samples: Samples, reading: Reading, compared: dict[str, int]) -> Iterator[Finding]:
    if samples.about.pixels != "files":
        yield Finding("note", "no images: they are rendered from the poses")
        return
    missing, names = missing_images(samples), len(set(samples.image_name))
    if missing:
        backslash = any("\\" in name for name in missing)
        yield Finding(
            "wrong",
            f"{len(missing)} of {names} images are not below {samples.about.root}, such as "
            f"{', '.join(missing[:NAMES_SHOWN])}; put them there, or set options.images to their folder"
            + "; write / for each backslash in their names"
            * backslash,
        )
    yield from _pixels(samples, set(missing), reading, compared)


def _pixels(
    samples: Samples, missing: set[str], reading: Reading, compared: dict[str, int]
) -> Iterator[Finding]:
    """Crop some of the images, as the images stage will crop all."""
    rows = [row for row, name in enumerate(samples.image_name) if name not in missing]
    part = samples.select(torch.tensor(rows, dtype=torch.long)[evenly(len(rows), CROPPED_ROWS)])
    _, problems = Cropper(part, CROP_PX, 1.0, reading)(slice(0, len(part)))
    compared[PICTURES] = len(part) - len(problems)
    large = {row: why for row, why in problems.items() if TOO_LARGE in why}
    broken = {row: why for row, why in problems.items() if row not in large}
    if large:
        yield Finding("note", f"{_some(part, large)} are too large; raise images.max_megapixels")
    if broken:
        yield Finding(
            "wrong",
            f"{_some(part, broken)} cannot be cropped; copy these files anew, or correct their boxes",
        )
    if not reading.upright:
        yield from _exif(part)


def _some(part: Samples, problems: dict[int, str]) -> str:
    first = [f"{part.image_name[row]} ({why})" for row, why in list(problems.items())[:NAMES_SHOWN]]
    return f"{len(problems)} of {len(part)} images that were tried, such as {', '.join(first)},"


def _exif(part: Samples) -> Iterator[Finding]:
    """Say which pictures are shown turned; wrong where their joints are not in the picture as stored."""
    sizes = {
        row: size
        for row, name in enumerate(part.image_name)
        if (size := turned_size(Path(part.about.root) / name))
    }
    if not sizes:
        return
    rows = torch.tensor(list(sizes))
    seen = part.keypoints_2d[rows, :, 2] > 0
    edge = torch.tensor(list(sizes.values()))[:, None]
    outside = ((part.keypoints_2d[rows, :, :2] > edge).any(2) & seen).sum(1) > 0.2 * seen.sum(1)
    upright = bool(outside.sum() * 2 > len(rows))
    cure = (
        "their joints lie outside of the stored picture, so they belong to the turned one"
        if upright
        else "their labels are taken to be of the stored picture; if they are of the turned one"
    )
    yield Finding(
        "wrong" if upright else "note",
        f"{len(rows)} of {len(part)} images that were tried are turned by the orientation in their EXIF "
        f"header, such as {part.image_name[int(rows[0])]}; {cure}: name the data set in images.upright, and "
        "check with --exif",
    )


def _duplicates(samples: Samples, _: BodyModel) -> Iterator[Finding]:
    centers = samples.center.round().tolist()
    names = zip(samples.image_name, samples.subject, centers, strict=True)
    people = Counter((name, subject, *center) for name, subject, center in names)
    twice = [name for (name, *_), count in people.items() if count > 1]
    if twice:
        yield Finding(
            "wrong",
            f"{len(twice)} people appear more than once (same image, same box), such as in "
            f"{', '.join(twice[:NAMES_SHOWN])}; drop the repeated rows",
        )


def _rotations(samples: Samples, _: BodyModel) -> Iterator[Finding]:
    rotvecs = torch.cat([samples.global_orient, samples.body_pose], 1).view(-1, 24, 3)
    yield from _rows(
        samples,
        (rotvecs.norm(dim=2) > TURN_RAD).any(1),
        "have a joint that turns by more than a full circle; expected rotation vectors in rad, "
        "these look like degrees",
    )
    still = samples.has_smpl & (samples.body_pose == 0).all(1)
    if still.sum() > 0.01 * len(samples):
        yield from _rows(
            samples, still, "have a pose of zeros that is marked as valid; mark them as not valid"
        )


def _shapes(samples: Samples, _: BodyModel) -> Iterator[Finding]:
    wild = samples.has_smpl & (samples.betas.abs() > WILD_BETA).any(1)
    yield from _rows(
        samples,
        wild,
        f"have a shape coefficient beyond {WILD_BETA:g}: most likely failed fits; set "
        "options.reject.max_beta, or mark these rows as not valid",
    )


def _sizes(samples: Samples, _: BodyModel) -> Iterator[Finding]:
    seen = (samples.keypoints_3d[..., 3] > 0) & samples.has_keypoints_3d[:, None]
    spread = _spread(samples.keypoints_3d[..., :3], seen)
    counted = seen.sum(1) > 5
    wrong = counted & ((spread < SIZE_M[0]) | (spread > SIZE_M[1]))
    yield from _rows(
        samples, wrong, f"have 3D joints that spread over less than {SIZE_M[0]} or more than "
        f"{SIZE_M[1]} m; expected metres",
    )  # fmt: skip


def _boxes(samples: Samples, compared: dict[str, int]) -> Iterator[Finding]:
    seen = samples.keypoints_2d[..., 2] > 0
    compared[BOXES] = int((seen.sum(1) > 5).sum())
    outside = seen & (samples.keypoints_in_crop().abs() > 1.0).any(2)
    wrong = (seen.sum(1) > 5) & (outside.sum(1) > 0.5 * seen.sum(1))
    yield from _rows(
        samples,
        wrong,
        "have most of their joints outside of their box; center is (x, y) in px and scale the "
        "width of the box / 200",
    )


@torch.no_grad()
def _bodies(samples: Samples, body: BodyModel, compared: dict[str, int]) -> Iterator[Finding]:
    """Pose some bodies: are they upright, and do they agree with the annotated joints?"""
    rows = samples.has_smpl.nonzero()[:, 0]
    if not len(rows):
        fits = any(what.startswith("fits of ") for what in samples.about.counts)
        yield Finding(
            "wrong" if fits else "note",
            "no pose and shape: it can be used neither for clustering nor for MPVPE"
            + "; all fits are rejected or marked as not valid: correct options.fits or options.reject"
            * fits,
        )
        return
    rows = rows[evenly(len(rows), POSED_ROWS)]
    part = samples.select(rows)
    params = part.body_params()
    up = body.joints(params)[:, [JOINTS.index("pelvis"), JOINTS.index("head")], 1]
    upright = float((up[:, 1] < up[:, 0]).float().mean())
    if upright < UPRIGHT:
        yield Finding(
            "wrong",
            f"only {upright:.0%} of the people stand with the head above the pelvis: y is down in the "
            "camera frame, and the root of upright people is half a turn about x; these roots are in a "
            "world frame, or upside down (MoSh: turn the root by pi about x)",
        )
    else:
        yield Finding("note", f"{upright:.0%} of the people are upright")
    joints = _joints_like(part, body)
    compared[UPRIGHT_PEOPLE] = len(part)
    yield from _against_2d(part, joints, compared)
    yield from _against_3d(part, joints, compared)


def _joints_like(samples: Samples, body: BodyModel) -> Float[Tensor, "n 24 3"]:
    params = samples.body_params()
    if samples.about.joints == "smpl24":
        return body.joints(params)
    return body.keypoints_of(params)


def _against_2d(
    samples: Samples, joints: Float[Tensor, "n 24 3"], compared: dict[str, int]
) -> Iterator[Finding]:
    seen = (samples.keypoints_2d[..., 2] > 0).float()
    crop = samples.keypoints_in_crop()
    cameras = fit_camera(joints, crop, seen)
    apart = ((project(joints, cameras) - crop).norm(dim=2) * seen).sum(1) / seen.sum(1) / 2
    known = seen.sum(1) > 5
    compared[BODIES_2D] = int(known.sum())
    wrong = known & ~((apart < APART) & (cameras[:, 0] > 0))
    if known.any():
        middle = float(apart[known].nan_to_num(1.0).median())
        yield Finding(
            "note", f"the joints of the body miss the annotated ones by {middle:.1%} of the box"
        )
    yield from _mostly(
        samples,
        wrong,
        known,
        "have a body whose joints do not lie on the annotated ones in the image: rows in another "
        "order, a root in another frame, left and right or x and y swapped, or poor fits "
        "(options.reject.max_reprojection drops these)",
    )


def _against_3d(
    samples: Samples, joints: Float[Tensor, "n 24 3"], compared: dict[str, int]
) -> Iterator[Finding]:
    seen = ((samples.keypoints_3d[..., 3] > 0) & samples.has_keypoints_3d[:, None]).float()[
        ..., None
    ]
    true = samples.keypoints_3d[..., :3]
    total = seen.sum(1, keepdim=True)
    pred = joints - (joints * seen).sum(1, keepdim=True) / total
    true = true - (true * seen).sum(1, keepdim=True) / total
    apart = ((pred - true).norm(dim=2, keepdim=True) * seen).sum((1, 2)) / total[:, 0, 0]
    known = total[:, 0, 0] > 5
    compared[BODIES_3D] = int(known.sum())
    yield from _mostly(
        samples,
        known & ~(apart < APART_M),
        known,
        f"have a body whose joints miss the annotated 3D ones by more than {APART_M} m: other axes, "
        "another root or rows in another order",
    )


def _mostly(
    samples: Samples, wrong: Bool[Tensor, "n"], known: Bool[Tensor, "n"], text: str
) -> Iterator[Finding]:
    """Yield a finding: wrong where over a tenth of the rows, and more than one, are wrong; else a note."""
    kind: Literal["wrong", "note"] = (
        "wrong" if int(wrong.sum()) > max(1, 0.1 * int(known.sum())) else "note"
    )
    yield from _rows(samples, wrong, text, kind)


def _rows(
    samples: Samples,
    wrong: Bool[Tensor, "n"],
    text: str,
    kind: Literal["wrong", "note"] = "wrong",
) -> Iterator[Finding]:
    if wrong.any():
        first = [samples.image_name[row] for row in wrong.nonzero()[:NAMES_SHOWN, 0].tolist()]
        yield Finding(
            kind, f"{int(wrong.sum())} of {len(samples)} rows {text} (such as {', '.join(first)})"
        )


def _spread(points: Float[Tensor, "n 24 3"], seen: Bool[Tensor, "n 24"]) -> Float[Tensor, "n"]:
    far = torch.where(seen[..., None], points, -torch.inf).amax(1)
    near = torch.where(seen[..., None], points, torch.inf).amin(1)
    return torch.where(seen.any(1), (far - near).amax(1), 0.0)
