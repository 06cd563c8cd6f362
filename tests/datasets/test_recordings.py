"""Adapters c3d, trc and joints, and annot3 of MPI-INF-3DHP: recordings become bodies with residuals."""

import json
from dataclasses import replace
from pathlib import Path

import layouts_studio as studio
import numpy as np
import pytest
import torch
import typer
from fitted import poses, prior
from layouts_studio import LAYOUTS
from people import draw_people, open_body
from recorded import scene, write_c3d, write_csv, write_npz, write_trc
from typer.testing import CliRunner

from pmnet import cli, datasets
from pmnet.body import OPEN_BODY
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS
from pmnet.check.dataset_report import check, find_all
from pmnet.check.fits import fit_finding, fit_findings
from pmnet.core.errors import InputError
from pmnet.core.stage import as_command
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset, mpi_inf_3dhp
from pmnet.datasets._recordings import adapter, annot3, fits
from pmnet.datasets.amass.fitted import FittedSamples
from pmnet.memory.prototypes import PrototypeMemory
from stages import fit


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """Return a folder of all tests, which keeps the fits too."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(autouse=True)
def few_people_and_own_fits(monkeypatch, shared):
    """Learn from fewer people, and keep fits in a folder of the tests."""
    for module in (fits, annot3):
        monkeypatch.setattr(module, "prior_and_people", lambda *_: (prior(), poses(200, seed=9)))
    for module in (adapter, annot3):
        monkeypatch.setattr(module, "FITS", shared / ".work/fits")


def read(kind: str, source: Path, **changed) -> Samples:
    """Return the samples that an adapter reads with the options that `pmnet check` suggests."""
    (found,) = [one for one in find_all(source) if one.adapter == kind]
    options = {**found.options, "framerate_hz": 0.0, **changed}
    entry = Dataset(kind, "train", source, options)
    return datasets.read("people", entry, open_body(), "datasets.people")


@pytest.fixture(scope="module")
def c3ds(shared) -> Path:
    """Two subjects with two recordings and one, in mm, labels with the subject before them."""
    _, points = scene("z", 9)
    points[2, 3] = np.nan
    for name, frames in (("anna/a", slice(0, 3)), ("anna/b", slice(3, 6)), ("ben/a", slice(6, 9))):
        subject = name.partition("/")[0]
        write_c3d(shared / f"data/{name}.c3d", 1000 * points[frames], prefix=f"{subject}:")
    return shared / "data"


def test_c3d_files_become_samples_that_say_how_good_they_are(c3ds, tmp_path):
    samples = read("c3d", c3ds, mirrored=False, views=2)
    assert isinstance(samples, FittedSamples)
    assert len(samples) == 18 and set(samples.subject) == {"anna", "ben"}
    assert set(samples.sequence) == {"anna/a_poses", "anna/b_poses", "ben/a_poses"}
    assert samples.has_smpl.all() and samples.converged.dtype == torch.bool
    shown = samples.residuals_mm[:, JOINTS.index("left_knee")]
    assert (shown < 15).all() and torch.equal(shown[:9], shown[9:])
    assert samples.about.counts["frames left out: too few points for a fit"] == 0
    # the columns are in the file, and a plain reader leaves them out
    samples.save(tmp_path / "people.arrow")
    again = FittedSamples.load(tmp_path / "people.arrow")
    assert isinstance(again, FittedSamples)
    torch.testing.assert_close(again.residuals_mm, samples.residuals_mm.float(), equal_nan=True)
    assert torch.equal(again.converged, samples.converged)
    plain = Samples.load(tmp_path / "people.arrow")
    assert type(plain) is Samples and torch.equal(plain.betas, samples.betas)
    assert len(again.select(torch.tensor([3, 1])).residuals_mm) == 2


def test_other_cameras_and_mirrored_poses_fit_nothing_again(c3ds, monkeypatch):
    before = read("c3d", c3ds, mirrored=False)
    monkeypatch.setattr(fits, "prior_and_people", lambda *_: pytest.fail("was fitted again"))
    samples = read("c3d", c3ds, mirrored=True, seed=3)
    assert torch.equal(samples.betas[:9], before.betas)
    left = samples.residuals_mm[9:][:, list(MIRRORED_JOINTS)]
    torch.testing.assert_close(left, samples.residuals_mm[:9], equal_nan=True)
    with pytest.raises(pytest.fail.Exception):
        read("c3d", c3ds, fit={"noise_mm": 4.0})


def test_pmnet_check_reports_the_fits(c3ds):
    (report,) = check(c3ds, open_body())
    assert report.found.adapter == "c3d" and not report.wrong
    (text,) = [f.text for f in report.findings if f.text.startswith("fits lie")]
    assert "farthest joint: " in text and "of 6 did not settle" in text  # 10 of 120 Hz, mirrored


def test_a_finding_is_wrong_where_points_are_far_from_the_body():
    far = np.full((4, 24), np.nan)
    far[:, 3] = [60, 70, 80, 90]
    found = fit_finding(far, np.array([True, True, False, True]), JOINTS, np.eye(4, 24))
    assert found.kind == "wrong" and "75.0 mm" in found.text and "1 of 4" in found.text
    assert "farthest joint: spine1, 75.0" in found.text and "least sure joint: pelvis" in found.text
    assert "no point" in fit_finding(np.full((2, 24), np.nan), np.ones(2, bool), JOINTS).text


def test_a_subject_becomes_a_memory_in_one_command(c3ds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = ["--k", "2", "--adapter", "c3d", "--out", "m.npz"]
    done = CliRunner().invoke(cli.app, ["memory", "build", str(c3ds), *out])
    assert done.exit_code == 0, done.output
    assert len(PrototypeMemory.load(tmp_path / "m.npz")) == 2
    done = CliRunner().invoke(cli.app, ["memory", "build", str(c3ds), *out, "--adapter", "bvh"])
    assert "bvh" in str(done.exception)


MACHINE = {
    "slurm": {},
    **{"device": "cpu", "workers": 1, "threads": 1, "cache_gib": 1.0, "resident_gib": 1.0},
    **{"checkpoint_every": 1, "log_every": 1},
}


def test_the_stage_writes_motions_that_amass_reads(c3ds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "FOLDER", tmp_path / ".work/checkpoints")
    options = {"fit": {}, "markers": None, "poses": None, "unit": "", "up": "auto"}
    entry = {"adapter": "c3d", "source": str(c3ds / "ben"), "options": options}
    sections = {"machine": MACHINE, "fits": {"people": entry, "wrong": {**entry, "options": {}}}}
    Path("params.yaml").write_text(json.dumps(sections))
    app = typer.Typer()
    app.command()(as_command(fit.fit))
    words = ["--body", str(OPEN_BODY), "--out", "motions", "--name"]
    done = CliRunner().invoke(app, [*words, "people"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [path.name for path in Path("motions").rglob("*.npz")] == ["a_poses.npz"]
    (found,) = find_all(tmp_path / "motions")
    assert (found.adapter, found.split) == ("amass", "train")
    done = CliRunner().invoke(app, [*words, "wrong"])
    assert "params.yaml: fits.wrong.options" in str(done.exception)


BONES = {
    **{"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2"},
    **{"left_collar": "LeftShoulder", "left_shoulder": "LeftArm", "left_elbow": "LeftForeArm"},
    **{"left_wrist": "LeftHand", "left_hip": "LeftUpLeg", "left_knee": "LeftLeg"},
    **{"left_ankle": "LeftFoot", "left_foot": "LeftToeBase", "neck": "Neck", "head": "Head"},
}


def test_joints_of_other_sets_are_mapped_by_their_names(tmp_path):
    truth, _ = scene("y", 4)
    joints = open_body().joints(truth)
    names = dict(BONES)
    names |= {k.replace("left", "right"): v.replace("Left", "Right") for k, v in BONES.items()}
    rows = [JOINTS.index(joint) for joint in names]
    write_csv(tmp_path / "bones/a.csv", list(names.values()), joints[:, rows].double().numpy())
    thirteen = [f"{side}_{part}" for side in ("left", "right") for part in studio_parts()]
    points = open_body().keypoints_of(truth)
    nose = points[:, studio.J24.index("nose")][:, None]
    own = torch.cat([nose, joints[:, [JOINTS.index(name) for name in thirteen]]], 1)
    short = ["Nose", *(f"{name[0].upper()}{name.partition('_')[2].title()}" for name in thirteen)]
    np.savez(tmp_path / "short.npz", joints=own.numpy(), labels=short, mocap_framerate=30.0)
    samples = read("joints", tmp_path, mirrored=False)
    assert isinstance(samples, FittedSamples) and len(samples) == 8
    assert samples.residuals_mm[torch.isfinite(samples.residuals_mm)].max() < 25


def studio_parts() -> tuple[str, ...]:
    return ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def test_foreign_files_beside_joints_are_left_out_and_broken_ones_refused(tmp_path):
    _, points = scene("z", 3)
    write_npz(tmp_path / "anna/a.npz", points)
    np.savez(tmp_path / "anna/camera.npz", K=np.eye(3))
    (tmp_path / "anna/notes.csv").write_text("what,when\nwalk,today\n")
    assert len(read("joints", tmp_path, mirrored=False)) == 3
    (tmp_path / "anna/cut.npz").write_bytes((tmp_path / "anna/a.npz").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut\.npz: not a readable \.npz"):
        read("joints", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": {"noise": 3}}, r"options\.fit\.noise: unknown parameter"),
        ({"fit": {"noise_mm": -1.0}}, r"options\.fit\.noise_mm: -1\.0 is out of range"),
        ({"unit": "feet"}, r"options\.unit: "),
        ({"up": "w"}, r"options\.up: "),
        ({"unit": "m"}, "its points span .* expected a person.*; mm would fit: give the"),
        ({"markers": Path("none.yaml")}, r"none\.yaml"),
        ({"poses": Path("none.arrow")}, r"none\.arrow"),
    ],
)
def test_wrong_options_are_one_error(tmp_path, change, message):
    write_trc(tmp_path / "anna/a.trc", 1000 * scene("z", 3)[1])
    with pytest.raises(InputError, match=message):
        read("trc", tmp_path, **change)


def test_points_that_no_unit_makes_a_person_are_refused(tmp_path):
    write_trc(tmp_path / "anna/a.trc", 1e8 * scene("z", 3)[1])
    with pytest.raises(InputError, match="no unit fits: see whether the file shows a person"):
        read("trc", tmp_path, unit="m")


def test_a_folder_without_recordings_is_refused(tmp_path):
    entry = {**adapter.found_recordings("c3d", _one(tmp_path))[0].options}
    with pytest.raises(
        InputError, match=r"no recording below it; expected files that end in \.c3d"
    ):
        datasets.read("x", Dataset("c3d", "train", tmp_path / "empty", entry), open_body(), "x")


def _one(root: Path) -> Path:
    write_c3d(root / "some/a.c3d", 1000 * scene("z", 3)[1])
    (root / "empty").mkdir()
    return root / "some"


# --- MPI-INF-3DHP


def annot3_options(images: Path, **changed) -> annot3.Annot3Fit:
    return replace(annot3.Annot3Fit({}, None, "annot3", images, 10), **changed)


def test_annot3_gives_the_bodies_of_an_npz_in_spins_layout(tmp_path, monkeypatch):
    people, layout = draw_people(7), LAYOUTS["mpi raw train"]
    layout.write(tmp_path / "mpi", people)
    raw = layout.read(tmp_path / "mpi", open_body())
    source = tmp_path / "mpi" / (layout.source or "")
    images = Path(raw.about.root)
    out = tmp_path / "fits"
    file = annot3.fit_annot3(source, annot3_options(images), open_body(), out, "x")
    options = mpi_inf_3dhp.Options(
        layout="spin",
        file=Path(file.name),
        images=images,
        fits=[mpi_inf_3dhp.FitSource("own", None)],
        reject=mpi_inf_3dhp.Reject(0.0, "betas", 0.0),
        annotation=None,
        every=1,
    )
    samples = mpi_inf_3dhp.read("mpi", out, options, open_body())
    assert samples.image_name == raw.image_name
    torch.testing.assert_close(samples.keypoints_3d, raw.keypoints_3d, atol=1e-5, rtol=0)
    assert samples.has_smpl.all() and samples.about.counts["fits of own fits"] == len(samples)
    # bodies in the frame of the camera, where the joints are
    joints = open_body().keypoints_of(samples.body_params())
    used = samples.keypoints_3d[0, :, 3] > 0
    off = joints[:, used] - samples.keypoints_3d[:, used, :3]
    off = off - off.mean(1, keepdim=True)
    assert off.norm(dim=2).mean(1).max() < 0.02
    # one shape per subject
    for subject in set(samples.subject):
        own = samples.betas[[row for row, s in enumerate(samples.subject) if s == subject]]
        assert torch.equal(own, own[:1].expand_as(own))
    values = np.load(file)
    assert np.nanmedian(values["residuals_mm"]) < 15 and values["converged"].mean() > 0.5
    (finding,) = fit_findings(samples, file)
    assert finding.kind == "note" and finding.text.startswith("fits lie")
    # what is done is kept: the same file again without a fit
    monkeypatch.setattr(annot3, "prior_and_people", lambda *_: pytest.fail("was fitted again"))
    before = file.read_bytes()
    annot3.fit_annot3(source, annot3_options(images), open_body(), out, "x")
    assert [
        np.array_equal(np.load(file)[k], values[k], equal_nan=k == "residuals_mm") for k in values
    ]
    assert len(before) == file.stat().st_size
