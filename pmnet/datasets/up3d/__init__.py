"""UP-3D: photographs of LSP, MPII and FashionPose with SMPL fits that annotators accepted.

Layout "folder": `%05d_image.png`, `%05d_body.pkl` (`pose` rad and `betas`, taken as they are: the root is
in the camera frame), `%05d_joints.npy` (3, 14) px and visibility of LSP's joints, `%05d_render_light.png`
(the fit on white), and lists with one line per image, as `/01129_image.png`: train.txt, val.txt,
trainval.txt, test.txt; GraphCMR's namesUPlsp.txt is the other test set in use. The box is drawn around the
rendered fit, or around the visible joints where the render is missing. Layout "spin": up_3d_*.npz of
GraphCMR or DecoMR.
"""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from torchvision.io import ImageReadMode, decode_image

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.core.progress import track
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.lsp import LSP14
from pmnet.datasets._shared.rows import Rows, to_j24, to_samples
from pmnet.datasets._shared.spin import read_spin
from pmnet.datasets._shared.units import BOX_MARGIN, box_around, box_of_corners
from pmnet.formats.arrays import array, finite
from pmnet.formats.npz import npz_keys, read_npy
from pmnet.formats.pickles import read_pickle

LINE: Final = re.compile(r"/?(?:.*/)?(\d+)_image\.png")
LISTS: Final = {"trainval.txt": "train", "train.txt": "train", "test.txt": "test"}
LSP_TEST: Final = "namesUPlsp.txt"
LSP_TEST_ROWS: Final = 639
THREADS: Final = 4
BY_RENDER, BY_JOINTS = "boxes of the rendered fit", "boxes of the joints (no render_light.png)"


@dataclass(frozen=True)
class Options:
    """The layout of the source, and the list of the images of the split.

    `list` is relative to the source, and null in layout "spin"; `images` is the folder with the images.
    """

    layout: Literal["folder", "spin"]
    list: Path | None
    images: Path


@dataclass(frozen=True)
class Fit:
    """The fit and the joints of one image; `corners` are x, y, width, height px of the rendered fit."""

    pose: np.ndarray
    betas: np.ndarray
    joints: np.ndarray  # (14, 3)
    corners: np.ndarray  # (4,), NaN without the file


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the people of one list; raises InputError naming the file and the key at fault."""
    if options.layout == "spin":
        rows = read_spin(source)
        return to_samples(name, rows, source, options.images, body, "j14")
    if options.list is None:
        raise InputError(f"{source}: layout folder needs options.list, as test.txt")
    rows, counts = read_folder(source, source / options.list, name)
    return to_samples(name, rows, source / options.list, options.images, body, "j14", counts)


def read_folder(folder: Path, listed: Path, name: str) -> tuple[Rows, Counter[str]]:
    """Return the rows of a list, and how many boxes come from renders and from joints."""
    numbers = read_list(listed)
    with ThreadPoolExecutor(THREADS) as pool:
        work = pool.map(lambda number: read_fit(folder, number), numbers)
        fits = list(track(work, f"{name}: reading fits", len(numbers)))
    joints = np.stack([fit.joints for fit in fits])
    corners = np.stack([fit.corners for fit in fits])
    rendered = np.isfinite(corners).all(1)
    seen = joints[..., 2] > 0
    center, scale = box_around(joints[..., :2], seen)
    of_render = box_of_corners(corners, BOX_MARGIN)
    center = np.where(rendered[:, None], of_render[0], center)
    scale = np.where(rendered, of_render[1], scale)
    boxless = ~np.isfinite(scale)
    if boxless.any():
        number = numbers[int(boxless.argmax())]
        raise InputError(
            f"{folder / f'{number}_joints.npy'}: no joint is visible and render_light.png is missing, so "
            f"the person has no box; remove the line from {listed}"
        )
    rows = Rows(
        image_name=[f"{number}_image.png" for number in numbers],
        center=center,
        scale=scale,
        poses=np.stack([fit.pose for fit in fits]),
        betas=np.stack([fit.betas for fit in fits]),
        keypoints_2d=to_j24(joints, LSP14),
        gender=["neutral"] * len(fits),
    )
    return rows, Counter({BY_RENDER: int(rendered.sum()), BY_JOINTS: int((~rendered).sum())})


def read_list(path: Path) -> list[str]:
    """Return the image numbers in a list, as texts of five digits."""
    refuse_special(path)
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: no readable list of images ({error}); set options.list"
        ) from None
    numbers = []
    for row, line in enumerate(lines):
        if not (match := LINE.fullmatch(line)):
            raise InputError(f"{path}: line {row + 1} is {line!r}; expected /01129_image.png")
        numbers.append(match[1])
    if not numbers:
        raise InputError(f"{path}: lists no image; expected lines such as /01129_image.png")
    return numbers


def read_fit(folder: Path, number: str) -> Fit:
    """Return the fit and the joints of one image; raises InputError naming the file."""
    path = folder / f"{number}_body.pkl"
    values = read_pickle(path)
    pose, betas = array(path, values, "pose", (72,)), array(path, values, "betas", (10,))
    for key, numbers in (("pose", pose), ("betas", betas)):
        finite(path, key, numbers)
    return Fit(pose, betas, _joints(folder, number), _corners(folder, number))


def _joints(folder: Path, number: str) -> np.ndarray:
    path = folder / f"{number}_joints.npy"
    joints = array(path, {"joints": read_npy(path)}, "joints", (3, 14)).T
    finite(path, "joints", joints, joints[:, 2] > 0)
    return joints


def _corners(folder: Path, number: str) -> np.ndarray:
    path = folder / f"{number}_render_light.png"
    if not path.is_file():
        return np.full(4, np.nan)
    try:
        pixels = decode_image(str(path), ImageReadMode.RGB).numpy()
    except RuntimeError as error:
        raise InputError(f"{path}: not a readable image ({error}); copy it anew") from None
    body = pixels.min(0) < 255
    if not body.any():
        raise InputError(f"{path}: all pixels are white; expected the rendered fit; copy it anew")
    x, y = np.flatnonzero(body.any(0)), np.flatnonzero(body.any(1))
    return np.array([x[0], y[0], x[-1] + 1 - x[0], y[-1] + 1 - y[0]], float)


def find(root: Path) -> list[Found]:
    """Return the lists of UP-3D below `root`, and the npz that SPIN's relatives made of it."""
    found, lsp_tests = [], list(files_below(root, LSP_TEST))
    for folder in sorted({path.parent for path in files_below(root, "_body.pkl")}):
        if not any(folder.glob("[0-9]*_image.png")) or not any(folder.glob("[0-9]*_joints.npy")):
            continue
        lists = {folder / name: split for name, split in LISTS.items()}
        lists |= dict.fromkeys(lsp_tests, "test")
        if (folder / "trainval.txt").is_file():  # holds train.txt
            lists.pop(folder / "train.txt", None)
        found += [_found(folder, path, split) for path, split in lists.items() if path.is_file()]
    for path in files_below(root, ".npz"):
        if path.name.startswith("up_3d") and {"imgname", "pose", "shape"} <= npz_keys(path):
            images = image_root(npz_texts(path, "imgname"), path.parent, root)
            options = {"layout": "spin", "list": None, "images": str(images)}
            split: Literal["train", "test"] = "train" if "train" in path.name else "test"
            found.append(Found("up3d", "UP-3D as SPIN's npz", path, split, options))
    return found


def _found(folder: Path, listed: Path, split: str) -> Found:
    relative = listed.relative_to(folder) if listed.is_relative_to(folder) else listed.resolve()
    return Found(
        adapter="up3d",
        layout=f"UP-3D, {listed.name}",
        source=folder,
        split="train" if split == "train" else "test",
        options={"layout": "folder", "list": str(relative), "images": str(folder)},
        published=LSP_TEST_ROWS if listed.name == LSP_TEST else None,
    )
