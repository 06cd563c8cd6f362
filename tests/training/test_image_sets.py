"""Data sets of images with annotated joints, whole and in part: trained on, evaluated, drawn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from people import draw_people, open_body
from tiny_world import CLUSTER, MACHINE, OPTIONS, SIZE_PX, evaluating, write_images

from pmnet.body import OPEN_BODY, BodyModel, read_body, write_body
from pmnet.body.files import with_gender
from pmnet.body.keypoints import J14, J17, J24, J24_PELVIS
from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.core import checkpoints
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.units import box_around
from pmnet.evaluation import prediction
from pmnet.evaluation.error_table import NEED_BODIES, read_errors
from pmnet.evaluation.evaluator import Evaluator, write_errors
from pmnet.evaluation.phrases import by_dataset
from pmnet.evaluation.protocols import Protocol, parse_protocol
from pmnet.images.file import encode, write_pixels
from pmnet.model.weights import load_memory
from pmnet.report.curves import curves
from pmnet.report.gallery import draw_gallery
from pmnet.report.options import Pictures, ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.summary import summary
from pmnet.training.data import TrainingData, load_training_data
from pmnet.training.options import Train
from pmnet.training.run import build_network
from pmnet.training.seed import train_seed

N = 8
REPORT = ReportOptions(tails=[10], bins=3, bootstrap=20, seed=0)
QUICK = replace(OPTIONS, steps=2, batch_size=6)


def image_set(name: str, seed: int, bodies: slice, joints_3d: bool, measured: str) -> Samples:
    """Return N people; those of `bodies` have SMPL, all have 2D joints, and 3D joints on demand."""
    people = draw_people(N, seed)
    seen = torch.ones(N, 24, 1).numpy()
    has_smpl = torch.zeros(N, dtype=torch.bool).numpy()
    has_smpl[bodies] = True
    center, scale = box_around(people.keypoints_px, seen[..., 0] > 0)
    rows = Rows(
        image_name=[f"{name}_{row}.jpg" for row in range(N)],
        center=center,
        scale=scale,
        poses=people.poses,
        betas=people.betas,
        has_smpl=has_smpl,
        keypoints_2d=torch.cat(
            [torch.tensor(people.keypoints_px), torch.ones(N, 24, 1)], 2
        ).numpy(),
        keypoints_3d=torch.cat([torch.tensor(people.keypoints_m), torch.ones(N, 24, 1)], 2).numpy()
        if joints_3d
        else None,
        sequence=[f"{name}_{row // 2}" for row in range(N)],
    )
    return to_samples(name, rows, Path(name), Path("images"), open_body(), measured)


SETS = {
    "studio": lambda: image_set("studio", 0, slice(1, N), True, "j14"),
    "wild": lambda: image_set("wild", 1, slice(0), False, "j14"),
    "pw3d": lambda: image_set("pw3d", 2, slice(2, N), False, "j14"),
    "mpi_inf_3dhp": lambda: image_set("mpi_inf_3dhp", 3, slice(0), True, "j17"),
}
TRAIN, TEST = ("studio", "wild"), ("pw3d", "mpi_inf_3dhp")


def files(folder: Path, names: tuple[str, ...], kind: str) -> list[Path]:
    return [folder / kind / f"{name}.arrow" for name in names]


def train(folder: Path, run: str, options: Train) -> None:
    given = files(folder, TRAIN, "samples"), files(folder, TRAIN, "images")
    memory = folder / f"{run}.npz"
    for seed in options.seeds:
        train_seed(*given, memory, OPEN_BODY, folder / run, seed, options, MACHINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with all sets, two memories and a network on each."""
    made = tmp_path_factory.mktemp("image_sets")
    for name, draw in SETS.items():
        draw().save(made / f"samples/{name}.arrow")
        write_images(made / f"images/{name}.arrow", N)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", made / "work")
        for run, k in (("p3dh", 3), ("single", 1)):
            options = replace(CLUSTER, k=k)
            samples = files(made, TRAIN, "samples")
            request = MemoryRequest(samples, OPEN_BODY, options, "vertex", "parts", 0.1)
            build_memory(request).save(made / f"{run}.npz")
            train(made, run, QUICK)
    return made


BODIES = {"mpjpe": "mpii_pelvis", "mpvpe": "pelvis", "gender": "given", "prediction": "neutral"}
PROTOCOLS = {
    "pw3d": {"name": "body", "joints": "j24_j14", "truth": "body", **BODIES},
    "mpi_inf_3dhp": {"name": "file", "joints": "j24_j17", "truth": "joints", **BODIES},
    "default": {"name": "default", "joints": "j24_j14", "truth": "body", **BODIES},
}


def protocol(dataset: str, **changed: str) -> Protocol:
    return parse_protocol(PROTOCOLS[dataset] | changed, "protocols")


def evaluator(folder: Path, run: str = "p3dh", **changed: Any) -> Evaluator:
    options = evaluating(folder / "single.npz", **{"protocols": PROTOCOLS, **changed})
    files = folder / f"{run}.npz", folder / run, OPEN_BODY
    return Evaluator.load(*files, [0], options, MACHINE)


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"samples/{name}.arrow", folder / f"images/{name}.arrow"


@pytest.fixture(scope="module")
def errors(folder) -> dict[str, pd.DataFrame]:
    return {name: evaluator(folder).errors(*pair(folder, name)) for name in TEST}


# --- training


def load(folder: Path, images: list[Path] | None = None) -> TrainingData:
    memory = load_memory(folder / "p3dh.npz", open_body())
    images = images or files(folder, TRAIN, "images")
    return load_training_data(files(folder, TRAIN, "samples"), images, memory, open_body())


def write_some_images(path: Path, seen: torch.Tensor) -> Path:
    """Write N images; those that are not seen were not found."""
    pixels = torch.zeros(N, 3, SIZE_PX, SIZE_PX, dtype=torch.uint8)
    found = zip(encode(pixels, "raw", 90), seen.tolist(), strict=True)
    write_pixels(path, [[image if there else None for image, there in found]], SIZE_PX, "raw")
    return path


def test_all_samples_train_and_those_with_bodies_have_their_prototypes(folder):
    data = load(folder)
    assert len(data) == 2 * N and data.joints == "j24"
    assert data.sizes == [("studio", N), ("wild", N)]
    memory = load_memory(folder / "p3dh.npz", open_body())
    expected = [-1, *memory.assignments.tolist(), *[-1] * N]
    assert data.targets.prototype.tolist() == expected
    rows = torch.cat(list(data.batches(QUICK, 0, 0)))
    assert len(set(rows.tolist())) == 12


def test_a_mix_draws_each_data_set_by_its_share(folder):
    data, options = load(folder), replace(QUICK, mix={"wild": 0.9}, steps=40)
    rows = torch.cat(list(data.batches(options, 0, 0)))
    assert (rows >= N).float().mean().item() == pytest.approx(0.9, abs=0.06)
    with pytest.raises(InputError, match=r"train\.mix: wilds is none of .*: studio, wild"):
        data.batches(replace(QUICK, mix={"wilds": 0.5}), 0, 0)


@pytest.mark.parametrize("mix", [{}, {"studio": 0.5}])
def test_samples_without_an_image_are_never_drawn(folder, tmp_path, mix):
    seen = torch.arange(N) % 4 != 0
    data = load(folder, [write_some_images(tmp_path / "some.arrow", seen)] * 2)
    rows = torch.cat(list(data.batches(replace(QUICK, mix=mix, steps=30), 0, 0)))
    assert set(rows.tolist()) == set(seen.repeat(2).nonzero()[:, 0].tolist())
    none = write_some_images(tmp_path / "none.arrow", torch.zeros_like(seen))
    with pytest.raises(InputError, match="no training sample has an image"):
        load(folder, [none] * 2).batches(QUICK, 0, 0)


def test_a_sample_without_body_starts_from_the_predicted_prototype(folder):
    network = build_network(QUICK, load_memory(folder / "p3dh.npz", open_body()))
    network.eval()
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, scores = network.encode(images)
        other = (scores.argmax(1) + 1) % 3
        predicted = network(images, other, torch.ones(3, dtype=torch.bool))[0]
        rows = torch.stack([other[0], torch.tensor(-1), other[2]])
        mixed = network(images, rows, torch.zeros(3, dtype=torch.bool))[0]
    assert torch.equal(mixed[1], predicted[1])
    assert not torch.equal(mixed[0], predicted[0])


def test_a_memory_that_misses_samples_is_refused(folder):
    memory = load_memory(folder / "p3dh.npz", open_body())
    few = replace(memory, assignments=memory.assignments[1:], distances=memory.distances[1:])
    given = files(folder, TRAIN, "samples"), files(folder, TRAIN, "images")
    with pytest.raises(InputError, match=rf"assigns {N - 2} samples, the files hold {N - 1}"):
        load_training_data(*given, few, open_body())


# --- evaluation


def test_samples_without_body_are_left_out_where_others_have_one(errors, folder, capsys):
    rows = errors["pw3d"]
    assert set(rows["sample"]) == set(range(2, N))
    assert not rows.isna().any().any()
    evaluator(folder).errors(*pair(folder, "pw3d"))
    assert f"2 of {N} samples have no SMPL parameters; left out" in capsys.readouterr().err


def test_a_set_without_bodies_has_joint_errors_only(errors):
    rows = errors["mpi_inf_3dhp"]
    assert set(rows["inference"]) == {"model", "soft", "chosen_prototype", "mean"}
    assert rows[["mpvpe_mm", "distance_to_mean_mm"]].isna().all().all()
    assert rows[["mpjpe_mm", "pa_mpjpe_mm"]].notna().all().all()
    assert set(rows["assigned"]) == {-1}


def test_samples_without_an_image_are_not_evaluated(folder, tmp_path, capsys):
    images = write_some_images(tmp_path / "some.arrow", torch.arange(N) != 3)
    rows = evaluator(folder).errors(folder / "samples/mpi_inf_3dhp.arrow", images)
    assert set(rows["sample"]) == set(range(N)) - {3}
    assert f"1 of {N} samples have no image; left out" in capsys.readouterr().err


def test_a_large_set_is_measured_in_blocks(errors, folder, monkeypatch):
    monkeypatch.setattr("pmnet.evaluation.evaluator.BLOCK", 4)
    found = evaluator(folder).errors(*pair(folder, "pw3d"))
    order = ["inference", "sample"]
    whole, blocks = (rows.sort_values(order, ignore_index=True) for rows in (errors["pw3d"], found))
    pd.testing.assert_frame_equal(whole, blocks, rtol=1e-4, atol=1e-2)


def test_a_set_that_cannot_be_measured_is_named(folder):
    message = r"wild\.arrow: no sample can be evaluated by the protocol default, .*true bodies"
    with pytest.raises(InputError, match=message) as refused:
        evaluator(folder).errors(*pair(folder, "wild"))
    assert "evaluate.protocols.wild, such as spin_h36m" in str(refused.value)


def test_other_joints_than_the_protocols_are_refused(folder):
    skeleton = PROTOCOLS["default"] | {"joints": "smpl24", "mpjpe": "pelvis", "truth": "joints"}
    made = evaluator(folder, protocols={"default": skeleton})
    with pytest.raises(InputError, match=r"3D joints are j24, but the protocol default measures"):
        made.errors(*pair(folder, "mpi_inf_3dhp"))


def test_a_protocol_for_no_set_is_printed_and_a_set_without_one_is_refused(folder, capsys):
    evaluator(folder, protocols=PROTOCOLS | {"wp3d": "skeleton"}).about(
        files(folder, TEST, "samples")
    )
    said = capsys.readouterr().err
    assert "protocols.wp3d: not a set that is evaluated; those are pw3d, mpi_inf_3dhp" in said
    made = evaluator(folder, protocols={"pw3d": PROTOCOLS["pw3d"]})
    with pytest.raises(InputError, match=r"protocols: has no protocol for mpi_inf_3dhp; add"):
        made.errors(*pair(folder, "mpi_inf_3dhp"))


@pytest.mark.parametrize("vertices", ["none", "pelvis", "smpl_hips", "mpii_pelvis"])
def test_the_true_bodies_have_no_error(vertices):
    for name in TEST:
        table = SETS[name]().select(torch.arange(2, N))
        how = protocol(name, mpvpe=vertices)
        truth = prediction.truth_of(table, open_body(), how)
        people = draw_people(N, {"pw3d": 2, "mpi_inf_3dhp": 3}[name])
        found = prediction.errors(people.params[slice(2, N)], truth, open_body(), how)
        for metric, values in found.items():
            if metric == "mpvpe_mm" and truth.bodies is None:
                assert values.isnan().all()
            else:
                assert values.abs().max() < 0.02, (name, metric)


@pytest.mark.parametrize(("name", "joints"), [("pw3d", J14), ("mpi_inf_3dhp", J17)])
def test_annotated_joints_by_hand(errors, folder, name, joints):
    rows = errors[name].query("inference == 'mean'")
    body, index = open_body(), rows["sample"].to_numpy()
    people = draw_people(N, {"pw3d": 2, "mpi_inf_3dhp": 3}[name])
    true = torch.tensor(people.keypoints_m[index]).float()
    pred = body.keypoints(body.vertices(evaluator(folder).mean))
    kept = [J24.index(joint) for joint in joints]
    a, b = (x - x[:, J24_PELVIS, None] for x in (pred, true))
    expected = (a - b)[:, kept].norm(dim=2).mean(1) * 1000
    assert rows["mpjpe_mm"].tolist() == pytest.approx(expected.tolist(), abs=0.05)


def test_true_bodies_are_of_the_gender_of_their_betas(tmp_path):
    neutral = read_body(OPEN_BODY)
    male = {**neutral, "v_template": neutral["v_template"] * np.float32(1.05)}
    write_body(tmp_path / "male.npz", male)
    body = BodyModel(with_gender(neutral, "male", tmp_path / "male.npz"))
    table = SETS["pw3d"]().select(torch.arange(2, N))
    table = replace(table, gender=["male", "neutral", "female", "", "male", "neutral"])
    how = protocol("pw3d")
    found, plain = (prediction.truth_of(table, b, how).bodies for b in (body, open_body()))
    neutral_truth = prediction.truth_of(table, body, protocol("pw3d", gender="neutral")).bodies
    assert torch.equal(neutral_truth.vertices, plain.vertices)
    men, params = torch.tensor([0, 4]), table.body_params()
    own = BodyModel(male)
    torch.testing.assert_close(found.vertices[men], own.vertices(params[men]))
    torch.testing.assert_close(found.skeleton[men], own.joints(params[men]))
    others = torch.tensor([1, 2, 3, 5])
    assert torch.equal(found.vertices[others], plain.vertices[others])
    assert (found.vertices[men] - plain.vertices[men]).norm(dim=2).mean() > 0.01


def test_one_mpjpe_has_one_kind_of_truth(folder, tmp_path, capsys):
    """By a protocol of annotated joints, samples without them are left out and counted."""
    table = SETS["studio"]()
    table.keypoints_3d[2, J24_PELVIS, 3] = 0  # no origin
    table.has_keypoints_3d[3] = False
    table.save(tmp_path / "studio.arrow")
    how = PROTOCOLS["mpi_inf_3dhp"] | {"joints": "j24_j14"}
    made = evaluator(folder, protocols={"default": how})
    rows = made.errors(tmp_path / "studio.arrow", folder / "images/studio.arrow")
    assert set(rows["sample"]) == {1, *range(4, N)}  # the first has no body
    printed = capsys.readouterr().err
    assert f"2 of {N} samples have too few 3D joints; left out" in printed
    assert f"1 of {N} samples have no SMPL parameters; left out" in printed


def test_joints_of_the_file_are_the_truth_where_the_protocol_says_so():
    table = SETS["studio"]().select(torch.arange(1, N))
    table.keypoints_3d[0, 0, :3] += 1.4  # m, the right ankle of the first one
    people = draw_people(N, 0).params[slice(1, N)]
    for kind, first in (("joints", 1400 * 3**0.5 / 14), ("body", 0)):
        how = protocol("mpi_inf_3dhp", joints="j24_j14", truth=kind)
        truth = prediction.truth_of(table, open_body(), how)
        found = prediction.errors(people, truth, open_body(), how)
        assert found["mpjpe_mm"][0].item() == pytest.approx(first, rel=1e-3, abs=0.02)
        assert found["mpjpe_mm"][1:].max() < 0.02
        assert found["mpvpe_mm"].max() < 0.02


# --- what follows


def write_run(folder: Path, run: str) -> Path:
    made = evaluator(folder, run)
    table = pd.concat([made.errors(*pair(folder, name)) for name in TEST], ignore_index=True)
    about = {"run": run, **made.about(files(folder, TEST, "samples"))}
    write_errors(table.assign(run=run), about, folder / run / "errors.parquet")
    return folder / run / "errors.parquet"


def test_error_files_of_both_runs_are_read_and_summed_up(folder):
    frame = read_errors([write_run(folder, "single"), write_run(folder, "p3dh")])
    (phrase,) = set(frame["protocol"])
    at = "alignment pelvis (MPJPE: mpii_pelvis), J{} of J_regressor_extra{}, neutral body"
    assert by_dataset(phrase) == {
        "pw3d": ("body", at.format(14, "")),
        "mpi_inf_3dhp": ("file", at.format(17, ", annotated joints")),
    }
    told = frame[frame["inference"].isin(NEED_BODIES)]
    assert set(told["dataset"]) == {"pw3d"}
    errors = RunErrors.of_rows(frame)
    assert set(curves(errors, REPORT)["dataset"]) == {"pw3d"}
    found = summary(errors, REPORT)
    assert set(found["p3dh"]["mpi_inf_3dhp"]) == {"mpjpe_mm", "pa_mpjpe_mm"}
    assert set(found["gain"]) == set(found["prototype_accuracy"]) == {"pw3d"}


def test_a_gallery_shows_sets_with_and_without_bodies(folder):
    sets = folder / "test.json"
    listed = {kind: [str(f) for f in files(folder, TEST, kind)] for kind in ("samples", "images")}
    sets.write_text(json.dumps(listed))
    paths = write_run(folder, "p3dh"), sets, folder / "p3dh.npz", folder / "p3dh", OPEN_BODY
    drawn = {name: figure for figure, name in draw_gallery(*paths, Pictures(bodies=2, size_px=32))}
    assert tuple(drawn) == TEST
    pictures = {name: figure.axes[0].images for name, figure in drawn.items()}
    rows = {name: len({image.get_extent()[2] for image in of}) for name, of in pictures.items()}
    assert rows == {"pw3d": 5, "mpi_inf_3dhp": 4}
