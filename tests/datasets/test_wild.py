"""COCO, MPII, LSP and LSP extended in every layout: found below a folder, read, laid over the people."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import layouts_wild as layouts
import numpy as np
import pytest
import scipy.io
import torch
from layouts_wild import BROKEN, BROKEN_SPIN, SETS
from people import draw_people, open_body, overlap

from pmnet.body import OPEN_BODY
from pmnet.body.keypoints import J24
from pmnet.check import dataset_report
from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset
from pmnet.datasets._shared.discovery import Found
from pmnet.datasets._shared.lsp import LSP14
from pmnet.datasets._shared.units import box_around
from stages.ingest import ingest

N = 6
PEOPLE = draw_people(N)
FITS = {"coco": "eft", "mpii": "eft", "lsp": "static", "lsp_extended": "eft"}


def find(name: str, root: Path) -> list[Found]:
    return importlib.import_module(f"pmnet.datasets.{name}").find(root)


def read(found: Found, **changed) -> Samples:
    """Read an entry as `pmnet check` suggests it, with some other options."""
    adapter = importlib.import_module(f"pmnet.datasets.{found.adapter}")
    options = params.parse(adapter.Options, found.options | changed, "options")
    samples = adapter.read(found.adapter, found.source, options, open_body())
    samples.check(str(found.source))
    return samples


def images_are_there(samples: Samples) -> bool:
    return all((Path(samples.about.root) / name).is_file() for name in samples.image_name)


# --- every layout


@pytest.mark.parametrize("kind", ["spin", "static", "eft"])
@pytest.mark.parametrize("name", SETS)
def test_spin_npz_with_each_kind_of_fits(name, kind, tmp_path):
    if name == "lsp" and kind == "eft":
        pytest.skip("EFT has no fits of LSP")
    layouts.write_spin(tmp_path, PEOPLE, name)
    layouts.write_fits(tmp_path, PEOPLE, name, kind)
    (found,) = find(name, tmp_path)
    assert (found.split, found.source) == ("train", tmp_path / "data")
    assert [fit["kind"] for fit in found.options["fits"]] == [kind]
    samples = read(found)
    assert samples.has_smpl.all() and images_are_there(samples)
    assert samples.about.counts["without a fit"] == 0
    assert overlap(samples, PEOPLE, range(N)).min() > 0.9
    np.testing.assert_allclose(samples.betas, PEOPLE.betas, atol=1e-6)
    if kind != "eft":
        np.testing.assert_allclose(samples.body_pose, PEOPLE.poses[:, 3:], atol=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_raw_annotations_give_the_rows_of_spin(name, tmp_path):
    layouts.write_raw(tmp_path / "raw", PEOPLE, name)
    layouts.write_spin(tmp_path / "spin", PEOPLE, name)
    raw = read(find(name, tmp_path / "raw")[0])
    spin = read(find(name, tmp_path / "spin")[0])
    assert raw.about.counts["rows"] == N
    assert [Path(one).name for one in raw.image_name] == [Path(one).name for one in spin.image_name]
    torch.testing.assert_close(raw.keypoints_2d, spin.keypoints_2d, atol=1e-3, rtol=0)
    assert images_are_there(raw) and images_are_there(spin)
    assert not raw.has_smpl.any() and not raw.has_keypoints_3d.any()
    if name in ("coco", "mpii"):
        torch.testing.assert_close(raw.center, spin.center, atol=1e-3, rtol=0)
        torch.testing.assert_close(raw.scale, spin.scale, atol=1e-3, rtol=0)
    else:
        points = PEOPLE.joints(LSP14, True)
        center, scale = box_around(points, np.ones((N, 14), bool))
        np.testing.assert_allclose(raw.center, center, atol=1e-3)
        np.testing.assert_allclose(raw.scale, scale, atol=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_raw_annotations_with_fits(name, tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, name)
    layouts.write_fits(tmp_path, PEOPLE, name, FITS[name])
    samples = read(find(name, tmp_path)[0])
    assert samples.has_smpl.all()
    assert overlap(samples, PEOPLE, range(N)).min() > 0.9


def test_spin_test_of_lsp(tmp_path):
    layouts.write_lsp_test(tmp_path, PEOPLE)
    layouts.write_fits(tmp_path, PEOPLE, "lsp", "static")  # of the training images
    (found,) = find("lsp", tmp_path)
    assert found.split == "test" and found.options["fits"] is None
    samples = read(found)
    assert not samples.has_smpl.any() and images_are_there(samples)


def test_a_test_set_without_truth_is_refused_at_once_and_suggested_as_preview(tmp_path):
    layouts.write_lsp_test(tmp_path, PEOPLE)
    (report,) = dataset_report.check(tmp_path, open_body())
    assert report.found.split == "preview" and not report.wrong
    entry = Dataset("lsp", "test", report.found.source, report.found.options)
    with pytest.raises(InputError, match=r"datasets\.lsp: a test set needs SMPL .*split: preview"):
        ingest("lsp", OPEN_BODY, tmp_path / "lsp.arrow", entry)
    assert not (tmp_path / "lsp.arrow").exists()
    ingest("lsp", OPEN_BODY, tmp_path / "lsp.arrow", replace(entry, split="preview"))
    assert len(Samples.load(tmp_path / "lsp.arrow")) == N


# --- what is kept


def test_coco_keeps_whole_persons_and_counts_the_others(tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, "coco")
    (found,) = find("coco", tmp_path)
    assert found.published == 28_344
    samples = read(found)
    assert samples.about.counts == {"rows": N, "rejected: fewer than 12 keypoints": 2}
    assert set(samples.keypoints_2d[..., 2].unique().tolist()) == {0.0, 1.0}
    assert len(read(found, min_keypoints=4)) == N + 1


def test_mpii_takes_the_box_of_the_file_or_shifts_it_as_pose_hg_does(tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, "mpii")
    (found,) = find("mpii", tmp_path)
    plain, shifted = read(found), read(found, box="shifted")
    assert plain.about.counts["rejected: fewer than 16 keypoints"] == 1
    torch.testing.assert_close(shifted.scale, plain.scale * 1.25)
    down = torch.stack([torch.zeros(N), 15 * plain.scale], 1)
    torch.testing.assert_close(shifted.center, plain.center + down)
    assert len(read(found, min_keypoints=15)) == N + 1


def test_mpii_names_as_codes_of_letters(tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, "mpii")
    path = layouts.raw_file(tmp_path, "mpii")
    with h5py.File(path, "a") as file:
        names = file["imgname"][()]
        del file["imgname"]
        file["imgname"] = np.array([list(name.ljust(16, b"\0")) for name in names], float)
    path.rename(path.with_name("annot.h5"))
    (found,) = find("mpii", tmp_path)
    assert found.options["box"] == "shifted"
    assert images_are_there(read(found))


@pytest.mark.parametrize("name", ["lsp", "lsp_extended"])
def test_hidden_joints_are_left_out_on_demand(name, tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, name)
    found = find(name, tmp_path)[0]
    known = [J24.index(joint) for joint in LSP14]
    assert (read(found).keypoints_2d[:, known, 2] == 1).all()
    seen = read(found, joints="visible").keypoints_2d[:, known, 2]
    assert (seen == 0).nonzero().tolist() == [[1, 4]]


def test_lsp_trains_on_its_first_thousand_images(tmp_path):
    few = layouts._joints(PEOPLE, 0)
    joints = np.concatenate([few[np.arange(1000) % N], few[:2]])
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints.transpose(2, 1, 0)})
    train, test = find("lsp", tmp_path)
    assert (train.split, test.split) == ("train", "test")
    assert len(read(train)) == 1000 and read(train).image_name[0] == "im0001.jpg"
    assert read(test).image_name == ["im1001.jpg", "im1002.jpg"]
    assert len(read(test, part="all")) == 1002


def test_a_person_without_joints_is_dropped(tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, "lsp_extended")
    path = layouts.raw_file(tmp_path, "lsp_extended")
    joints = scipy.io.loadmat(path)["joints"]
    joints[:, 2, 3] = 0
    scipy.io.savemat(path, {"joints": joints})
    samples = read(find("lsp_extended", tmp_path)[0], joints="visible")
    assert samples.about.counts == {"rows": N - 1, "rejected: fewer than 2 joints": 1}
    assert "im00004.png" not in samples.image_name and images_are_there(samples)


# --- what is found


def test_all_kinds_of_fits_are_found_best_first(tmp_path):
    layouts.write_spin(tmp_path, PEOPLE, "coco")
    for kind in ("static", "eft", "spin"):
        layouts.write_fits(tmp_path, PEOPLE, "coco", kind)
    (found,) = find("coco", tmp_path)
    assert found.options["fits"] == [
        {"kind": "spin", "file": "spin_fits/coco.npz"},
        {"kind": "eft", "file": "eft_fit/COCO2014-Part-ver01.json"},
        {"kind": "static", "file": "static_fits/coco_fits.npy"},
    ]
    assert found.options["file"] == "dataset_extras/coco_2014_train.npz"
    assert found.layout == (
        "SPIN's npz coco_2014_train.npz, coco.npz, COCO2014-Part-ver01.json, coco_fits.npy"
    )


def test_own_fits_are_found(tmp_path):
    layouts.write_spin(tmp_path, PEOPLE, "mpii")
    path = tmp_path / "data/dataset_extras" / layouts.SPIN["mpii"]
    layouts.rewrite(path, pose=PEOPLE.poses, shape=PEOPLE.betas)
    (found,) = find("mpii", tmp_path)
    assert found.options["fits"] == [{"kind": "own", "file": None}]
    assert overlap(read(found), PEOPLE, range(N)).min() > 0.9
    assert overlap(read(found, fits=None), PEOPLE, range(N)).min() > 0.9


@pytest.mark.parametrize("name", SETS)
def test_the_source_does_not_hold_the_images(name, tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, name)
    layouts.write_fits(tmp_path / "images" / name, PEOPLE, name, "spin")
    found = find(name, tmp_path)[0]
    assert found.source == layouts.raw_file(tmp_path, name)
    assert read(found).has_smpl.all()


def test_foreign_and_broken_files_are_not_recognised_or_read_later(tmp_path):
    for name in ("joints.mat", "train.h5", "notes.json", "shapes.npz"):
        (tmp_path / name).write_bytes(b"what is this")
    assert [found for name in SETS for found in find(name, tmp_path)] == []
    (tmp_path / "coco_2014_train.npz").write_bytes(b"cut short")
    (found,) = find("coco", tmp_path)
    with pytest.raises(InputError, match=r"coco_2014_train\.npz: not a readable \.npz"):
        read(found)


# --- what is refused


@pytest.mark.parametrize(
    ("name", "breaks", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_broken_raw_annotations(name, breaks, message, tmp_path):
    layouts.write_raw(tmp_path, PEOPLE, name)
    found = find(name, tmp_path)[0]
    breaks(tmp_path)
    with pytest.raises(InputError, match=message):
        read(found)


@pytest.mark.parametrize(
    ("kind", "breaks", "message"),
    [case[1:] for case in BROKEN_SPIN],
    ids=[case[0] for case in BROKEN_SPIN],
)
def test_broken_spin_npz_and_fits(kind, breaks, message, tmp_path):
    layouts.write_spin(tmp_path, PEOPLE, "coco")
    files = SimpleNamespace(
        spin="spin_fits/coco.npz",
        static="static_fits/coco_fits.npy",
        eft="eft_fit/" + layouts.EFT["coco"],
    )
    fits = [{"kind": kind, "file": getattr(files, kind, None)}] if kind else None
    (found,) = find("coco", tmp_path)
    source = {"file": "dataset_extras/coco_2014_train.npz", "fits": fits}
    found = Found("coco", "", tmp_path / "data", "train", found.options | source)
    breaks(tmp_path, PEOPLE, "coco")
    with pytest.raises(InputError, match=message):
        read(found)


def test_an_unknown_option_is_refused(tmp_path):
    layouts.write_spin(tmp_path, PEOPLE, "coco")
    with pytest.raises(InputError, match=r"options\.min_joints: unknown parameter"):
        read(find("coco", tmp_path)[0], min_joints=3)
