"""`pmnet fit`: files of markers in every layout, unit and axis; what is wrong with a file is one error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fitted import LABELS, poses, prior
from people import open_body
from recorded import scene, write_c3d, write_npz, write_trc
from typer.testing import CliRunner

from pmnet import cli
from pmnet.body import BodyParams
from pmnet.core.errors import InputError
from pmnet.datasets.amass.clips import read_motion
from pmnet.fitting.files import read_trajectories


@pytest.fixture(autouse=True)
def few_people(request, monkeypatch):
    """Learn from fewer people than the command does, but in the first test."""
    if request.node.name != "test_markers_become_a_motion_that_reads_back":
        learnt = prior(), poses(200, seed=9)
        monkeypatch.setattr(cli, "_prior_and_people", lambda *_: learnt)


def run(*arguments: str | Path) -> str:
    """Return what `pmnet fit` printed, after success."""
    result = CliRunner().invoke(cli.app, ["fit", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_markers_become_a_motion_that_reads_back(tmp_path):
    truth, points = scene("z")
    points[2, 5] = np.nan
    write_npz(tmp_path / "a.npz", points)
    printed = run(tmp_path / "a.npz", "--out", tmp_path / "out.npz")
    assert "8 frames, 8 fitted" in printed and "48 points known" in printed
    assert "up is z" in printed
    motion = read_motion(tmp_path / "out.npz")
    assert motion.rate_hz == 60 and motion.gender == "neutral" and motion.surface_model == "smpl"
    rotvecs = torch.zeros(8, 24, 3)
    rotvecs[:, :22] = torch.from_numpy(motion.poses).float().view(8, 22, 3)
    betas = torch.from_numpy(motion.betas).float().expand(8, 10)
    saved = np.load(tmp_path / "out.npz")
    made = open_body().vertices(BodyParams.from_rotvecs(rotvecs, betas))
    made = made + torch.from_numpy(saved["trans"])[:, None]
    error = (made - open_body().vertices(truth) - 0.5).norm(dim=2).mean(1)
    assert error.max() < 0.012
    assert saved["residuals_mm"].shape == (8, 48) and np.isnan(saved["residuals_mm"][2, 5])
    assert saved["latent_labels"].tolist() == list(LABELS)


def test_c3d_and_trc_in_any_unit_and_axis_give_the_same_points(tmp_path):
    _, points = scene("y")
    points[1, 3] = np.nan
    write_trc(tmp_path / "a.trc", 1000 * points)
    write_trc(tmp_path / "b.trc", points, "m")
    with_zero = np.where(np.isnan(points), 0, 100 * points)
    write_npz(tmp_path / "c.npz", with_zero)
    read = {
        "a.trc": read_trajectories(tmp_path / "a.trc"),
        "b.trc": read_trajectories(tmp_path / "b.trc"),
        "c.npz": read_trajectories(tmp_path / "c.npz", "cm"),
    }
    for name, trajectories in read.items():
        assert trajectories.labels == list(LABELS), name
        np.testing.assert_allclose(trajectories.points, points, atol=2e-4, err_msg=name)
    assert read["a.trc"].rate_hz == 100
    printed = run(tmp_path / "a.trc", "--out", tmp_path / "out.npz")
    assert "up is y" in printed
    # in AMASS's layout z is up: an upright root is a quarter turn about x
    root = np.load(tmp_path / "out.npz")["poses"][:, :3]
    assert np.abs(root - [np.pi / 2, 0, 0]).max() < 0.2


def test_a_c3d_with_a_subject_before_its_labels(tmp_path):
    _, points = scene("z")
    points[0, 7] = np.nan
    write_c3d(tmp_path / "a.c3d", 1000 * points, prefix="Anna:")
    trajectories = read_trajectories(tmp_path / "a.c3d")
    assert trajectories.rate_hz == 120 and trajectories.labels[0] == "Anna:LFHD"
    np.testing.assert_allclose(trajectories.points, points, atol=2e-4)
    assert "48 points known" in run(tmp_path / "a.c3d", "--out", tmp_path / "out.npz")


def test_joints_of_the_skeleton_can_be_fitted(tmp_path):
    truth, _ = scene("z")
    np.savez(tmp_path / "j.npz", joints=open_body().joints(truth).numpy(), mocap_framerate=30.0)
    printed = run(tmp_path / "j.npz", "--out", tmp_path / "out.npz")
    assert "24 points known" in printed
    assert np.nanmean(np.load(tmp_path / "out.npz")["residuals_mm"]) < 8


def bad(path: Path, message: str, unit: str = "") -> None:
    with pytest.raises(InputError, match=message):
        read_trajectories(path, unit)


def test_bad_files_are_one_error_each(tmp_path):
    _, points = scene("z")
    bad(tmp_path / "none.c3d", "no such file")
    (tmp_path / "a.mp4").write_bytes(b"x")
    bad(tmp_path / "a.mp4", r"expected a file that ends in \.c3d, \.trc, \.npz")
    write_npz(tmp_path / "a.npz", 1000 * points)
    bad(tmp_path / "a.npz", r"span .* m if they are in m; expected a person.*--unit")
    bad(tmp_path / "a.npz", "unit 'feet' is none of m, cm, mm", "feet")
    write_npz(tmp_path / "a.npz", points, labels=np.array(LABELS[:5]))
    bad(tmp_path / "a.npz", "'labels'")
    write_npz(tmp_path / "a.npz", points, mocap_framerate=None)
    bad(tmp_path / "a.npz", "'mocap_framerate' is missing or no rate")
    write_npz(tmp_path / "a.npz", np.full_like(points, np.nan))
    bad(tmp_path / "a.npz", "no frame shows two points")
    np.savez(tmp_path / "a.npz", joints=points[:, :17], mocap_framerate=30.0)
    bad(tmp_path / "a.npz", "17 joints; expected SMPL's 24")
    (tmp_path / "a.npz").write_bytes(b"PK")
    bad(tmp_path / "a.npz", r"not a readable \.npz")


def test_bad_trc_files_name_the_line(tmp_path):
    _, points = scene("z")
    path = tmp_path / "a.trc"
    write_trc(path, points, "m")
    whole = path.read_text()
    path.write_text("")
    bad(path, r"not a \.trc")
    path.write_text(whole.replace("PathFileType", "Path"))
    bad(path, r"not a \.trc")
    path.write_text("\n".join(whole.splitlines()[:10]))
    bad(path, "has 4 of the 8 frames that its header names; the file is cut short")
    path.write_text(whole.replace("\t0.01\t", "\tx\t"))
    bad(path, "line 8 holds what is no number")
    write_trc(path, points, "m", rate="fast")
    bad(path, "line 3 has no DataRate above 0")
    write_trc(path, points, "furlong")
    bad(path, "unit 'furlong' is none of")


def test_bad_c3d_files_end_no_process(tmp_path):
    _, points = scene("z")
    path = tmp_path / "a.c3d"
    write_c3d(path, 1000 * points)
    whole = path.read_bytes()
    for content in (b"", b"\x02\x51" + bytes(2000), whole[:1], whole[:700]):
        path.write_bytes(content)
        bad(path, r"a\.c3d: not a C3D")
    path.write_bytes(whole[:-2000])
    bad(path, "has 6 of the 8 frames that its header names; the file is cut short")
    path.write_bytes(whole[:512] + bytes(1024) + whole[1536:])
    bad(path, r"a\.c3d: not a readable C3D")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([f"X{i}" for i in range(48)], "0 of its 48 labels are known; expected 8 or more"),
        ([LABELS[0], *LABELS[:47]], "the labels LFHD occur more than once"),
    ],
)
def test_labels_that_make_no_person(tmp_path, labels, message):
    write_npz(tmp_path / "a.npz", scene("z")[1], labels=np.array(labels))
    with pytest.raises(InputError, match=message):
        run(tmp_path / "a.npz", "--out", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_labels_of_ones_own_and_settings(tmp_path):
    _, points = scene("z")
    labels = [*LABELS[:-1], "MINE"]
    write_npz(tmp_path / "a.npz", points, labels=np.array(labels))
    printed = run(tmp_path / "a.npz", "--out", tmp_path / "out.npz", "--set", "iterations=2")
    assert "labels not known, left out: MINE" in printed
    table = tmp_path / "mine.yaml"
    table.write_text(
        "MINE: {from: {right_foot: 1}, toward: [-1, 0.1, -0.2], skin: [right_foot, right_ankle]}"
    )
    printed = run(tmp_path / "a.npz", "--out", tmp_path / "out.npz", "--markers", table)
    assert "48 points known" in printed
    with pytest.raises(InputError, match=r"--set\.noise: unknown parameter"):
        run(tmp_path / "a.npz", "--out", tmp_path / "out.npz", "--set", "noise=3")
