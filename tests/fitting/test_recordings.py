"""Folders of recordings: one shape per subject, work that is done is kept, what is wrong is one error."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fitted import LABELS, poses, prior
from people import open_body
from recorded import scene, write_c3d, write_csv, write_npz, write_trc

from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.fitting.markers import read_table
from pmnet.fitting.options import fit_options
from pmnet.fitting.recordings import (
    FitSettings,
    Knowledge,
    copy_fits,
    fit_key,
    fit_recordings,
    recordings_of,
)

LEARNT = []


def learn() -> Knowledge:
    LEARNT.append(1)
    return Knowledge(open_body(), prior(), poses(200, seed=9), read_table())


def fit(root: Path, out: Path, sources=("body",), unit: str = "", up: str = "auto", **changed):
    """Fit all recordings below a folder; return the files, and how often it had to learn."""
    LEARNT.clear()
    files = [path for path in root.rglob("*") if path.is_file()]
    settings = FitSettings(fit_options(changed, "fit"), unit, up)
    done = fit_recordings(recordings_of(root, files), out, settings, learn, list(sources))
    return done, len(LEARNT)


@pytest.fixture
def two_subjects(tmp_path) -> Path:
    """Two recordings of anna, of which one lacks markers, and one of ben."""
    _, points = scene("z", 10)
    root = tmp_path / "recordings"
    write_npz(root / "anna/a.npz", points[:5])
    write_npz(root / "anna/b.npz", points[5:, 4:], labels=np.array(LABELS[4:]))
    write_npz(root / "ben/a.npz", 1.05 * points[:4])
    return root


def test_a_subject_has_one_shape_and_others_have_theirs(two_subjects, tmp_path):
    out = tmp_path / "fits"
    files, learnt = fit(two_subjects, out)
    assert [file.relative_to(out).as_posix() for file in files] == [
        "anna/a_poses.npz",
        "anna/b_poses.npz",
        "ben/a_poses.npz",
    ]
    assert learnt == 1
    anna, anna_too, ben = (np.load(file) for file in files)
    assert np.array_equal(anna["betas"], anna_too["betas"])
    assert not np.allclose(anna["betas"], ben["betas"], atol=0.1)
    assert np.isnan(anna_too["residuals_mm"][:, :4]).all()
    assert np.nanmax(anna_too["residuals_mm"]) < 40
    for key in ("fitted", "converged", "swapped", "dropped", "latent_joints", "body"):
        assert key in anna


def test_what_is_done_is_kept_and_what_changed_is_fitted_again(two_subjects, tmp_path):
    out = tmp_path / "fits"
    files, _ = fit(two_subjects, out)
    before = {file: file.stat().st_mtime_ns for file in files}
    assert fit(two_subjects, out) == (files, 0)
    assert {file: file.stat().st_mtime_ns for file in files} == before
    # a new recording of anna changes her shape; ben stays
    _, points = scene("z", 10)
    write_npz(two_subjects / "anna/c.npz", points[:5])
    again, learnt = fit(two_subjects, out)
    assert learnt == 1 and len(again) == 4
    assert files[2].stat().st_mtime_ns == before[files[2]]
    assert files[0].stat().st_mtime_ns > before[files[0]]
    # one that is gone takes its fit along; files of others stay
    (two_subjects / "ben/a.npz").unlink()
    np.savez(out / "ben/mine_poses.npz", poses=np.zeros((2, 72)))
    fit(two_subjects, out)
    assert [path.name for path in (out / "ben").iterdir()] == ["mine_poses.npz"]
    (two_subjects / "anna/a.npz").unlink()
    (two_subjects / "anna/b.npz").unlink()
    assert fit(two_subjects, out, noise_mm=4.0)[1] == 1
    assert fit(two_subjects, out, sources=("another body",), noise_mm=4.0)[1] == 1


def test_copies_are_the_fits_and_no_others(two_subjects, tmp_path):
    files, _ = fit(two_subjects, tmp_path / "kept")
    out = tmp_path / "out"
    copy_fits(files, tmp_path / "kept", out)
    copy_fits(files[:1], tmp_path / "kept", out)
    assert [p.name for p in out.rglob("*.npz")] == ["a_poses.npz"]
    assert fit_key(out / "anna/a_poses.npz") == fit_key(files[0]) != ""


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_recordings import fit
fit(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_fit_goes_on(two_subjects, tmp_path):
    """Kill a fit as soon as a file is there; the next call fits the others only."""
    out, here = tmp_path / "fits", Path(__file__).parent
    where = [str(two_subjects), str(out), str(here), str(here.parent / "helpers")]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *where], stderr=subprocess.DEVNULL)
    first, deadline = out / "anna/a_poses.npz", time.monotonic() + 120
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    written = first.stat().st_mtime_ns
    assert not (out / "ben").exists()
    files, _ = fit(two_subjects, out)
    assert all(file.exists() for file in files) and len(files) == 3
    assert first.stat().st_mtime_ns == written
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("up", ["x", "z", "-y"])
def test_units_and_axes_give_the_same_bodies(tmp_path, up):
    """A recording of each kind, in another unit: bodies differ by less than a centimetre."""
    _, points = scene(up, 4)
    points[1, 6] = np.nan
    root = tmp_path / "anna"
    write_trc(root / "a.trc", 1000 * points)
    write_npz(root / "b.npz", np.where(np.isnan(points), 0, points))
    files, _ = fit(root, tmp_path / "fits")
    first, second = (np.load(file) for file in files)
    assert files[0].parent.name == "anna"
    np.testing.assert_allclose(first["poses"], second["poses"], atol=2e-3)
    np.testing.assert_allclose(first["trans"], second["trans"], atol=2e-3)
    # z is up in AMASS's layout
    root_turns = rotvec_to_rotmat(torch.from_numpy(first["poses"][:, :3]))
    assert (root_turns[:, :, 1] - torch.tensor([0.0, 0, 1])).abs().max() < 0.25


def refused(root: Path, out: Path, message: str, **given) -> None:
    with pytest.raises(InputError, match=message):
        fit(root, out, **given)


def test_what_is_wrong_with_one_recording_is_one_error_that_names_it(tmp_path):
    _, points = scene("z", 4)
    root, out = tmp_path / "recordings", tmp_path / "fits"
    write_npz(root / "anna/a.npz", points)
    bad = root / "anna/b.npz"
    write_npz(bad, points, labels=np.array([LABELS[0], *LABELS[:47]]))
    refused(root, out, r"anna/b\.npz: the labels LFHD occur more than once")
    write_npz(bad, 1000 * points)
    refused(root, out, r"anna/b\.npz: its points span .* expected a person")
    bad.write_bytes((root / "anna/a.npz").read_bytes()[:3000])
    refused(root, out, r"anna/b\.npz: .*npz")
    bad.write_bytes(b"")
    refused(root, out, r"anna/b\.npz: .*npz")
    lost = np.full_like(points, np.nan)
    lost[:, :2] = points[:, :2] * [1, 1, 2]
    write_npz(bad, lost)
    refused(root, out, r"anna/b\.npz: (no frame shows 3 known points|its points span)")
    bad.unlink()
    write_npz(root / "anna/a.npz", points, labels=np.array([f"X{i}" for i in range(48)]))
    refused(root, out, r"anna/a\.npz: 0 of its 48 labels are known; expected 8 or more")
    write_npz(root / "anna/a.npz", points)
    write_csv(root / "anna/a.csv", ["LHip"], points[:, :1])
    refused(root, out, r"a\.csv have one name; keep one|a\.npz and a\.csv have one name")


def test_recordings_of_one_folder_are_of_one_subject(tmp_path):
    _, points = scene("z", 4)
    write_c3d(tmp_path / "carla/x.c3d", 1000 * points, prefix="carla:")
    names = [
        recording.name
        for recording in recordings_of(tmp_path / "carla", [tmp_path / "carla/x.c3d"])
    ]
    assert names == ["carla/x"]
    alone = tmp_path / "carla/x.c3d"
    assert [recording.name for recording in recordings_of(alone, [alone])] == ["carla/x"]
    files, _ = fit(tmp_path / "carla", tmp_path / "fits")
    fitted = np.load(files[0])
    assert fitted["latent_labels"].tolist() == list(LABELS)
    assert torch.from_numpy(fitted["residuals_mm"]).nanmedian() < 8
