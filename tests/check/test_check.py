"""pmnet check: what it recognises, what it finds wrong in files that can be read, what it prints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import broken
import layouts_others
import layouts_studio
import layouts_wild
import numpy as np
import pytest
import torch
from case_names import case_name
from people import draw_people, open_body
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from pmnet import cli
from pmnet.check import dataset_report
from pmnet.core.errors import InputError
from pmnet.datasets._shared import discovery
from pmnet.datasets.amass import Options as AmassOptions

N = 6
WRITE: dict[str, Callable[[Path], None]] = {
    "coco": lambda root: write_coco(root),
    "pw3d": layouts_others.write_pw3d,
    "up3d": lambda root: layouts_others.write_up3d(root, draw_people(N)),
    "hmr2": lambda root: layouts_others.write_hmr2(root, draw_people(N)),
    "bedlam": lambda root: layouts_others.write_bedlam(root, draw_people(N)),
}
COCO = Path("data/dataset_extras/coco_2014_train.npz")


def write_coco(root: Path) -> None:
    """Write COCO in SPIN's layout with fits of its own, so that all is in one file."""
    people = draw_people(N)
    layouts_wild.write_spin(root, people, "coco")
    layouts_wild.rewrite(
        root / COCO,
        pose=people.poses,
        shape=people.betas,
        S=layouts_others.with_confidence(people.keypoints_m),
        has_smpl=np.ones(N),
    )


def reports(root: Path) -> list[dataset_report.DatasetReport]:
    return list(dataset_report.check(root, open_body()))


def wrong_texts(root: Path) -> list[str]:
    (report,) = reports(root)
    return [finding.text for finding in report.findings if finding.kind == "wrong"]


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    write_coco(root)
    return root


@pytest.mark.parametrize("name", WRITE)
def test_a_data_set_in_order_is_recognised_and_nothing_is_wrong(tmp_path, name):
    WRITE[name](tmp_path)
    found = reports(tmp_path)
    assert found
    for report in found:
        assert report.found.adapter == name
        assert [f.text for f in report.findings if f.kind == "wrong"] == []
        assert report.samples is not None and len(report.samples) > 1
        # what it says can be put into params.yaml as it stands
        text = "\n".join(dataset_report.as_text(report))
        assert f"adapter: {name}" in text and str(report.found.source) in text
        assert "of the people are upright" in text


@pytest.mark.parametrize("name", layouts_studio.LAYOUTS)
def test_a_layout_of_the_studios_is_recognised_and_nothing_is_wrong(tmp_path, name):
    layout = layouts_studio.LAYOUTS[name]
    layout.write(tmp_path, draw_people(8))
    found = reports(tmp_path)
    assert {report.found.adapter for report in found} == {layout.adapter}
    for report in found:
        assert report.samples is not None and len(report.samples)
        assert [f.text for f in report.findings if f.kind == "wrong"] == []


def test_all_sets_below_a_folder_are_found_each_with_a_name_of_its_own(tmp_path):
    for name in ("pw3d", "coco"):
        WRITE[name](tmp_path / name)
    shutil.copytree(tmp_path / "coco", tmp_path / "other")
    found = reports(tmp_path)
    assert sorted(report.name for report in found) == ["coco_train", "coco_train_2", "pw3d"]


def edit(**changed: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Return a function that changes arrays of COCO's npz."""

    def change(root: Path) -> None:
        with np.load(root / COCO) as archive:
            values = {key: changed[key](archive[key].copy()) for key in changed}
        layouts_wild.rewrite(root / COCO, **values)

    return change


def turned(by: Rotation) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that turns the roots of poses in the camera frame."""

    def turn(poses: np.ndarray) -> np.ndarray:
        poses[:, :3] = (by * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
        return poses

    return turn


def repeated(root: Path) -> None:
    with np.load(root / COCO) as archive:
        layouts_wild.rewrite(
            root / COCO, **{key: archive[key][[0, 0, *range(2, N)]] for key in archive.files}
        )


def images_gone(root: Path) -> None:
    next(iter(sorted((root / "images").rglob("*.jpg")))).unlink()


def image_cut(root: Path) -> None:
    broken.cut(next(iter(sorted((root / "images").rglob("*.jpg")))), 0.5)


def image_names_moved(names: np.ndarray) -> np.ndarray:
    return np.array([name.replace("train2014/", "train/") for name in names.tolist()])


def wild(betas: np.ndarray) -> np.ndarray:
    betas[1, 3] = 9.0
    return betas


# what can be read, and still is wrong; the word that the finding must hold
WRONG: list[tuple[str, Callable[[Path], None], str]] = [
    ("roots upside down", edit(pose=turned(Rotation.from_rotvec([np.pi, 0, 0]))), "upside down"),
    ("roots in a z-up world", edit(pose=turned(Rotation.from_euler("x", 90, True))), "joints"),
    ("roots turned round", edit(pose=turned(Rotation.from_euler("y", 180, True))), "joints"),
    ("poses in another order", edit(pose=lambda p: p[::-1]), "another order"),
    ("names in another order", edit(part=lambda p: p[::-1], center=lambda c: c[::-1]), "joints"),
    ("x and y swapped", edit(part=lambda p: p[..., [1, 0, 2]]), "x and y swapped"),
    (
        "both swapped",
        edit(part=lambda p: p[..., [1, 0, 2]], center=lambda c: c[:, ::-1]),
        "swapped",
    ),
    ("left and right swapped", edit(part=lambda p: p[:, list(MIRROR)]), "left and right"),
    ("3D axes swapped", edit(S=lambda s: s[..., [0, 2, 1, 3]]), "other axes"),
    ("3D y up", edit(S=lambda s: s * [1, -1, -1, 1]), "other axes"),
    ("3D in decimetres", edit(S=lambda s: s * [0.1, 0.1, 0.1, 1]), "expected metres"),
    ("poses in degrees", edit(pose=np.rad2deg), "look like degrees"),
    ("poses of zeros", edit(pose=lambda p: p * np.r_[np.ones(3), np.zeros(69)]), "pose of zeros"),
    ("boxes elsewhere", edit(center=lambda c: c + 4000), "outside of their box"),
    ("boxes too small", edit(scale=lambda s: s / 10), "outside of their box"),
    ("a person twice", repeated, "more than once"),
    ("an image gone", images_gone, "1 of 6 images are not below"),
    ("an image cut short", image_cut, "COCO_train2014_000000000001.jpg (not a readable JPEG"),
    (
        "boxes beside the images",
        edit(center=lambda c: c + np.array([900, 0])),
        "outside of the image",
    ),
    ("images elsewhere", edit(imgname=image_names_moved), "6 of 6 images are not below"),
]
MIRROR = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, *range(12, 20), 21, 20, 23, 22)


@pytest.mark.parametrize(("what", "change", "word"), WRONG, ids=case_name)
def test_what_can_be_read_and_is_wrong_is_found(coco, tmp_path, what, change, word):
    root = tmp_path / "root"
    shutil.copytree(coco, root)
    change(root)
    texts = wrong_texts(root)
    assert [text for text in texts if word in text], texts


def test_what_the_rules_drop_is_said(coco, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(coco, root)
    edit(shape=wild)(root)
    (report,) = reports(root)
    assert not report.wrong
    assert "1 betas set to 0: |beta| > 3 in own fits" in [
        finding.text for finding in report.findings
    ]


def test_a_file_that_cannot_be_read_is_one_error_and_the_rest_is_checked(tmp_path):
    WRITE["coco"](tmp_path / "coco")
    WRITE["up3d"](tmp_path / "up3d")
    layouts_wild.rewrite(tmp_path / "coco" / COCO, scale=None)
    wrong, *others = reports(tmp_path)
    (error,) = wrong.findings
    assert error.kind == "wrong" and "coco_2014_train.npz: key 'scale' is missing" in error.text
    assert others and not any(report.wrong for report in others)


def test_motion_capture_needs_no_images(tmp_path):
    clip = tmp_path / "amass" / "S1" / "walk_poses.npz"
    clip.parent.mkdir(parents=True)
    poses = np.zeros((30, 156))
    poses[:, 0] = np.pi / 2  # AMASS: z is up
    poses[:, 3 * 18 + 1] = np.linspace(-1, 0, 30)
    np.savez(clip, poses=poses, betas=np.zeros(16), gender="male", mocap_framerate=30.0)
    (report,) = reports(tmp_path)
    assert report.found.adapter == "amass" and not report.wrong
    assert set(report.found.options) == set(AmassOptions.__dataclass_fields__)


# --- the command


def run(*words: str):
    return CliRunner().invoke(cli.app, ["check", *words])


def test_the_command_says_it_for_people_and_for_programs(coco):
    done = run(str(coco))
    assert done.exit_code == 0
    assert "coco: SPIN's npz coco_2014_train.npz" in done.output
    assert done.output.rstrip().endswith("1 data sets, all in order")
    done = run(str(coco), "--json")
    (found,) = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (found["adapter"], found["samples"], found["wrong"]) == ("coco", N, False)
    assert found["contents"]["pose"] == f"float64 ({N}, 72)"


def test_the_command_fails_where_something_is_wrong(coco, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(coco, root)
    images_gone(root)
    done = run(str(root))
    assert done.exit_code == 1
    assert "WRONG  1 of 6 images" in done.output
    assert done.output.rstrip().endswith("1 data sets, wrong: coco_train")


def test_links_are_followed_once(coco, tmp_path):
    (tmp_path / "mine").symlink_to(coco)
    (tmp_path / "again").symlink_to(tmp_path)
    (report,) = reports(tmp_path)
    assert report.found.adapter == "coco" and not report.wrong


def test_a_folder_is_walked_once_for_all_adapters(coco, monkeypatch):
    walk, walked = discovery._walk_anew, []
    monkeypatch.setattr(discovery, "_walk_anew", lambda root: walked.append(root) or walk(root))
    assert len(dataset_report.find_all(coco)) == 1
    assert walked == [coco]
    list(discovery.files_below(coco, ".npz"))
    assert walked == [coco] * 2  # later looks see what is there then


def test_an_empty_folder_is_told_what_is_known(tmp_path):
    done = run(str(tmp_path))
    assert done.exit_code == 1
    assert "no data set recognised; known are amass, bedlam, c3d, coco" in done.output
    with pytest.raises(InputError, match="no such folder"):
        dataset_report.find_all(tmp_path / "none")


def test_a_contact_sheet_shows_each_set(coco, tmp_path):
    done = run(str(coco), "--pictures", str(tmp_path / "sheets"))
    assert done.exit_code == 0
    sheet = tmp_path / "sheets" / "coco_train.png"
    assert sheet.stat().st_size > 10_000


def test_the_body_lies_over_the_person_in_the_sheet(coco):
    from pmnet.check.overlays import _crops, _dressed

    (report,) = reports(coco)
    assert report.samples is not None
    crops = _crops(report.samples, 96)
    changed = (_dressed(crops, report.samples, open_body()) != crops).any(1).float().mean((1, 2))
    assert ((changed > 0.03) & (changed < 0.5)).all()
    grey = report.samples.select(torch.arange(2))
    object.__setattr__(grey.about, "root", "nowhere")
    assert (_crops(grey, 96) == 200).all()
