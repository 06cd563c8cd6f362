"""The prototype memory: round trip, SPIN's layout, memories from files of samples, broken files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pytest
import torch
from bodies import random_bodies
from torch import Tensor

from pmnet.body import OPEN_BODY
from pmnet.body.camera import View, crop_to_px, project
from pmnet.body.parts import PartWeights, vertex_weights
from pmnet.clustering import build
from pmnet.clustering.build import MemoryRequest, build_memory, mean_camera, memory_of
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets import synthetic
from pmnet.memory.prototypes import Iteration, PrototypeMemory

CLOSE = {"atol": 1e-4, "rtol": 0}
HISTORY = [Iteration(0, 12.5, 9, 1), Iteration(1, 0.1 + 0.2, 0, 0)]


def memory(k: int = 3, weights: Tensor | None = None) -> PrototypeMemory:
    """Return a memory of nine samples whose last prototype has none."""
    centres = random_bodies(k, spread=0.8)
    assignments = torch.arange(9) % max(k - 1, 1)
    clustering = Clustering(centres, assignments, torch.linspace(0, 2, 9), HISTORY)
    camera = torch.tensor([0.8, 0.1, -0.2])
    return memory_of(clustering, weights, camera, "abc", {"k": k, "space": "vertex"})


@pytest.mark.parametrize("weights", [None, torch.linspace(0, 5, 6890)])
def test_what_is_saved_is_loaded(tmp_path, weights):
    saved = memory(weights=weights)
    saved.save(tmp_path / "folder" / "memory.npz")
    loaded = PrototypeMemory.load(tmp_path / "folder" / "memory.npz")
    assert len(loaded) == 3
    torch.testing.assert_close(
        loaded.prototypes.rotmats, saved.prototypes.rotmats, atol=1e-5, rtol=0
    )
    assert torch.equal(loaded.prototypes.betas, saved.prototypes.betas)
    for name in ("assignments", "distances", "camera"):
        assert torch.equal(getattr(loaded, name), getattr(saved, name)), name
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
    assert (loaded.body, loaded.history, loaded.settings) == ("abc", HISTORY, saved.settings)
    if weights is None:
        assert loaded.vertex_weights is None
    else:
        assert torch.equal(loaded.vertex_weights, weights)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["memory.npz"]


def test_the_seed_of_the_clustering_is_known_where_the_memory_depends_on_it():
    several, one = memory(3), memory(1)
    assert replace(several, settings={"seed": 4}).clustering_seed == 4
    assert several.clustering_seed == replace(one, settings={"seed": 4}).clustering_seed == -1


def test_sizes_count_prototypes_that_nobody_has():
    assert memory(3).sizes.tolist() == [5, 4, 0]
    assert memory(1).sizes.tolist() == [9]


# --- SPIN's layout


def spin_rot6d_to_rotmat(x: Tensor) -> Tensor:
    """Return rotation matrices as SPIN reads them (utils/geometry.py)."""
    x = x.view(-1, 3, 2)
    b1 = torch.nn.functional.normalize(x[:, :, 0])
    along = torch.einsum("bi,bi->b", b1, x[:, :, 1])[:, None]
    b2 = torch.nn.functional.normalize(x[:, :, 1] - along * b1)
    return torch.stack((b1, b2, torch.linalg.cross(b1, b2)), dim=-1)


@pytest.mark.parametrize("k", [1, 4])
def test_spin_reads_what_is_exported(tmp_path, k):
    exported = memory(k)
    exported.export_spin(tmp_path / "smpl_mean_params.npz")
    with np.load(tmp_path / "smpl_mean_params.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    rows = (k,) if k > 1 else ()
    assert {key: array.shape for key, array in arrays.items()} == {
        "pose": (*rows, 144),
        "shape": (*rows, 10),
        "cam": (*rows, 3),
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    rotmats = spin_rot6d_to_rotmat(torch.from_numpy(arrays["pose"]).reshape(-1, 6))
    torch.testing.assert_close(rotmats.view(k, 24, 3, 3), exported.prototypes.rotmats)
    np.testing.assert_array_equal(arrays["shape"].reshape(k, 10), exported.prototypes.betas)


def test_the_exported_camera_projects_the_same(tmp_path):
    exported = memory(1)
    exported.export_spin(tmp_path / "spin.npz")
    with np.load(tmp_path / "spin.npz") as archive:
        s, tx, ty = archive["cam"].tolist()
    x, y = 0.3, -0.7
    # SPIN moves, then scales: s (X + t); here s X + t
    assert s * (x + tx) == pytest.approx(0.8 * x + 0.1)
    assert s * (y + ty) == pytest.approx(0.8 * y - 0.2)


# --- what is refused


@pytest.fixture
def file(tmp_path) -> Path:
    memory().save(tmp_path / "memory.npz")
    return tmp_path / "memory.npz"


def rewrite(file: Path, **changed: Any) -> None:
    """Change arrays of a file; None leaves a key out."""
    with np.load(file) as archive:
        arrays = {key: archive[key] for key in archive.files} | changed
    np.savez(file, **{key: array for key, array in arrays.items() if array is not None})


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: no such prototype memory; run the cluster"):
        PrototypeMemory.load(tmp_path / "none.npz")


def refused(file: Path, message: str = "") -> None:
    kind = r"(prototype memory|readable \.npz)"
    with pytest.raises(InputError, match=rf"memory\.npz: not a {kind} .*{message}"):
        PrototypeMemory.load(file)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(file, share):
    broken.cut(file, share)
    refused(file)


def test_damaged_and_foreign_files_are_refused(file):
    broken.spoil(file)
    refused(file)
    file.write_text("pose, shape")
    refused(file)
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))
    refused(file)
    np.savez(file, pose=np.zeros(144))
    refused(file, "header")
    np.savez(file, header=np.array({"version": 1}, object))
    with pytest.raises(InputError, match=r"memory\.npz: 'header' row 0 is a dict"):
        PrototypeMemory.load(file)


@pytest.mark.parametrize(
    "key", ["rotvecs", "betas", "assignments", "distances", "camera", "header"]
)
def test_a_missing_key_is_named(file, key):
    rewrite(file, **{key: None})
    refused(file, key)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("no json", "no JSON"),
        ("[1]", "expected a section"),
        (
            json.dumps({"version": 2, "body": "b", "settings": {}, "history": []}),
            "header.version: 2 is not one of 1.*run the cluster stage",
        ),
        (json.dumps({"version": 1}), "body"),
        (json.dumps({"version": 1, "body": "b", "settings": {}, "history": [{"x": 1}]}), ""),
    ],
)
def test_another_header_is_refused(file, header, message):
    rewrite(file, header=np.array(header))
    refused(file, message)


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("rotvecs", np.zeros((3, 72), np.float32)),
        ("rotvecs", np.zeros((2, 24, 3), np.float32)),
        ("rotvecs", np.full((3, 24, 3), "x")),
        ("rotvecs", np.full((3, 24, 3), np.nan, np.float32)),
        ("betas", np.zeros((3, 11), np.float32)),
        ("camera", np.zeros(4, np.float32)),
        ("distances", np.zeros(5, np.float32)),
        ("assignments", np.zeros((9, 1), np.int64)),
        ("assignments", np.zeros(9, np.float32)),
        ("assignments", np.full(9, 3)),
        ("assignments", np.full(9, -1)),
        ("vertex_weights", np.zeros((6890, 1), np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(file, key, array):
    # by the reader: shapes in annotations are checked in the test run only
    rewrite(file, **{key: array})
    refused(file, f"{key}.*; expected ")


# --- from files of samples

OPTIONS = Cluster(
    k=4,
    limb_weight=5.0,
    part_weights=PartWeights(torso=1.0, foot=0.5, head=0.3, hand=0.3),
    max_iterations=5,
    tolerance=1e-4,
    seed=0,
    init="random",
    restarts=1,
    single="mean",
)


def made(*request: Any) -> PrototypeMemory:
    """Return the memory of a request."""
    return build_memory(MemoryRequest(*request))


@pytest.fixture(scope="module")
def samples(body) -> Samples:
    view = View(20.0, 0.2, 5.0, 2.0, 0.88, 0.04, 0.04)
    families = {"stand": 1.0, "kick": 1.0, "handstand": 1.0}
    return synthetic.read("toy", Path(), synthetic.Options(40, families, 5.0, 0.5, view, 0), body)


@pytest.fixture
def files(samples, tmp_path) -> list[Path]:
    """Return two files of samples; in the second, five have no pose and no camera is known."""
    first, second = samples.select(torch.arange(15)), samples.select(torch.arange(15, 40))
    known = torch.arange(25) >= 5
    second = replace(second, has_smpl=known, camera=torch.full((25, 3), torch.nan))
    first.save(tmp_path / "first.arrow")
    second.save(tmp_path / "second.arrow")
    return [tmp_path / "first.arrow", tmp_path / "second.arrow"]


def test_a_memory_is_made_of_all_samples_with_a_pose(body, samples, files, tmp_path):
    found = made(files, OPEN_BODY, OPTIONS, "vertex", "parts", 1.0)
    assert len(found) == 4 and len(found.assignments) == 35
    assert found.body == body.sha256
    torch.testing.assert_close(found.camera, samples.camera[:15].mean(0))
    weights = {"limb": 5.0, "torso": 1.0, "foot": 0.5, "head": 0.3, "hand": 0.3}
    assert torch.equal(found.vertex_weights, vertex_weights(body.parts, weights))
    assert (found.settings["space"], found.settings["k"]) == ("vertex", 4)
    for name in ("a", "b"):
        made(files, OPEN_BODY, OPTIONS, "vertex", "parts", 0.0).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_memories_of_table_2_are_one_algorithm(files):
    def build(space: str, weights: str, **changed: int) -> PrototypeMemory:
        return made(files, OPEN_BODY, replace(OPTIONS, **changed), space, weights, 1.0)

    flat = build("vertex", "flat")
    assert (flat.vertex_weights == 1).all()
    naive = build("parameter", "flat")
    assert naive.vertex_weights is None and naive.settings["space"] == "parameter"
    assert (flat.space, naive.space) == ("vertex", "parameter")
    pose = build("body_pose", "parts")
    assert pose.space == "body_pose" and (pose.distances < flat.distances.max()).all()
    chosen = build("vertex", "flat", max_iterations=0)
    assert len(chosen.history) == 1
    assert chosen.history[0].mean_distance == flat.history[0].mean_distance
    single = build("vertex", "parts", k=1)
    assert len(single) == 1 and single.sizes.tolist() == [35]
    assert flat.distances.mean() < chosen.distances.mean()


def test_where_no_camera_is_known_it_is_fitted_to_2d_keypoints(body, samples, files):
    found = made(files[1:], OPEN_BODY, OPTIONS, "parameter", "flat", 1.0)
    second = Samples.load(files[1])
    rows = second.has_smpl.nonzero()[:, 0]
    expected = mean_camera(replace(samples, camera=samples.camera.clone()), body)
    torch.testing.assert_close(expected, samples.camera.mean(0))
    blind = second.select(rows)
    assert blind.camera.isnan().any()
    torch.testing.assert_close(found.camera, mean_camera(blind, body))


@pytest.mark.parametrize("joints", ["smpl24", "j24"])
def test_a_fitted_camera_is_the_one_that_was_lost(body, samples, joints, monkeypatch):
    params = samples.body_params()
    points = body.joints(params) if joints == "smpl24" else body.keypoints(body.vertices(params))
    px = crop_to_px(project(points, samples.camera), samples.center, samples.scale)
    keypoints = torch.cat([px, torch.ones(len(px), 24, 1)], 2)
    keypoints[0, 3:, 2] = 0  # three keypoints are too few
    keypoints[0, :3] = 7.0
    lost = replace(
        samples,
        about=replace(samples.about, joints=joints),
        keypoints_2d=keypoints,
        camera=torch.full_like(samples.camera, torch.nan),
    )
    torch.testing.assert_close(mean_camera(lost, body), samples.camera[1:].mean(0), **CLOSE)
    monkeypatch.setattr(build, "FITTED", 3)
    ends = samples.camera[1:][[0, (len(samples) - 2) // 2, -1]]
    found, some = mean_camera(lost, body), ends.mean(0)
    torch.testing.assert_close(found, some, atol=0.05, rtol=0)
    assert torch.equal(found, mean_camera(lost, body))


def test_without_cameras_and_keypoints_the_first_guess_is_hmrs(body, samples):
    unknown = torch.full_like(samples.camera, torch.nan)
    blind = replace(samples, camera=unknown, keypoints_2d=torch.zeros(len(samples), 24, 3))
    assert mean_camera(blind, body).tolist() == pytest.approx([0.9, 0.0, 0.0])


def test_too_many_prototypes_and_other_bodies_are_refused(samples, files, tmp_path):
    with pytest.raises(InputError, match=r"cluster.k is 36: .* to the 35 training samples"):
        made(files, OPEN_BODY, replace(OPTIONS, k=36), "vertex", "parts", 1.0)
    stranger = replace(samples, about=replace(samples.about, body="other"))
    stranger.save(tmp_path / "other.arrow")
    with pytest.raises(InputError, match=r"other\.arrow: ingested with another body model"):
        made([tmp_path / "other.arrow"], OPEN_BODY, OPTIONS, "vertex", "parts", 1.0)
    with pytest.raises(InputError, match=r"other\.arrow: ingested with another body model"):
        made([*files, tmp_path / "other.arrow"], OPEN_BODY, OPTIONS, "vertex", "flat", 1.0)
