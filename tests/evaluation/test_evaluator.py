"""Evaluation of a tiny trained run: its rows, and the constant predictor by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from tiny_world import (
    CLUSTER,
    MACHINE,
    OPTIONS,
    N,
    World,
    evaluating,
    write_images,
    write_world,
)

from pmnet.body import OPEN_BODY
from pmnet.clustering.build import MemoryRequest, build_memory
from pmnet.core import checkpoints
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.evaluation.error_table import METRICS, SCHEMA, read_errors
from pmnet.evaluation.evaluator import Evaluator, write_errors
from pmnet.evaluation.metrics import similarity_align
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.prediction import errors as measure
from pmnet.evaluation.prediction import truth_of
from pmnet.evaluation.protocols import PROTOCOLS
from pmnet.memory.prototypes import PrototypeMemory

SELECTIONS = {"soft", "risk", "twice"}
INFERENCES = {"model", "oracle", "chosen_prototype", "assigned_prototype", "mean", *SELECTIONS}


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    """Return a world with networks of two seeds in `train`."""
    folder = tmp_path_factory.mktemp("evaluated")
    made = write_world(folder, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", folder / "work")
        made.train(folder / "train", replace(OPTIONS, seeds=[0, 3], steps=2))
    return made


def evaluator(world: World, options: Evaluate | None = None, **files) -> Evaluator:
    given = {"memory": world.memory, "body": world.body, **files}
    models = world.samples.parent / "train"
    options = options or evaluating(world.single, also=["soft", "risk", "twice"])
    return Evaluator.load(**given, models=models, seeds=[0, 3], options=options, machine=MACHINE)


@pytest.fixture(scope="module")
def errors(world) -> pd.DataFrame:
    return evaluator(world).errors(world.samples, world.images)


def rows(errors: pd.DataFrame, inference: str, seed: int = 0) -> pd.DataFrame:
    return errors[(errors["inference"] == inference) & (errors["seed"] == seed)]


def column(frame: pd.DataFrame, name: str) -> torch.Tensor:
    return torch.tensor(frame[name].to_numpy(), dtype=torch.float32)


def test_every_sample_has_a_row_per_seed_and_inference(errors):
    counts = errors.groupby(["seed", "inference"]).size()
    assert set(counts.index) == {(seed, name) for seed in (0, 3) for name in INFERENCES}
    assert set(counts) == {N}
    for _, group in errors.groupby(["seed", "inference"]):
        assert group["sample"].tolist() == list(range(N))


def test_the_columns(errors, world):
    assert set(errors.columns) == {*SCHEMA.names} - {"run"}
    assert set(errors["dataset"]) == {"tiny"}
    assert rows(errors, "model")["sequence"].tolist() == Samples.load(world.samples).sequence
    assert rows(errors, "model")["subject"].tolist() == Samples.load(world.samples).subject
    assert set(errors["memory_seed"]) == {PrototypeMemory.load(world.memory).settings["seed"]}
    assert not errors.isna().any().any()


def test_the_mean_rows_are_the_errors_of_the_constant_predictor(errors, world, body):
    truth = Samples.load(world.samples).body_params()
    mean = PrototypeMemory.load(world.single).prototypes[torch.zeros(N, dtype=torch.long)]
    vertices = [body.vertices(params) for params in (mean, truth)]
    joints = [body.joints(params) for params in (mean, truth)]
    found = rows(errors, "mean")
    unaligned = (vertices[0] - vertices[1]).norm(dim=2).mean(1) * 1000
    torch.testing.assert_close(column(found, "distance_to_mean_mm"), unaligned)
    at_pelvis = [v - j[:, :1] for v, j in zip(vertices, joints, strict=True)]
    expected = (at_pelvis[0] - at_pelvis[1]).norm(dim=2).mean(1) * 1000
    torch.testing.assert_close(column(found, "mpvpe_mm"), expected)
    rooted = [j - j[:, :1] for j in joints]
    expected = (rooted[0] - rooted[1]).norm(dim=2).mean(1) * 1000
    torch.testing.assert_close(column(found, "mpjpe_mm"), expected)
    fitted = similarity_align(joints[0], joints[1])
    expected = (fitted - joints[1]).norm(dim=2).mean(1) * 1000
    torch.testing.assert_close(column(found, "pa_mpjpe_mm"), expected, rtol=1e-4, atol=1e-3)


def test_the_mean_does_not_depend_on_the_seed(errors):
    one, two = rows(errors, "mean", 0), rows(errors, "mean", 3)
    assert one[list(METRICS)].to_numpy().tolist() == two[list(METRICS)].to_numpy().tolist()


def test_training_samples_are_assigned_as_the_memory_says(errors, world):
    memory = PrototypeMemory.load(world.memory)
    for inference in INFERENCES:
        assert rows(errors, inference)["assigned"].tolist() == memory.assignments.tolist()


def test_the_oracle_is_the_model_where_the_choice_was_right(errors):
    model, oracle = (rows(errors, name).set_index("sample") for name in ("model", "oracle"))
    right = model["chosen"] == model["assigned"]
    assert not right.all()
    same = model["mpvpe_mm"] == oracle["mpvpe_mm"]
    assert same[right].all()
    assert not same[~right].any()


def test_prototypes_alone_are_those_that_the_rows_name(errors, world, body):
    memory = PrototypeMemory.load(world.memory)
    truth = Samples.load(world.samples).body_params()
    for inference, key in (("chosen_prototype", "chosen"), ("assigned_prototype", "assigned")):
        found = rows(errors, inference)
        index = torch.tensor(found[key].to_numpy())
        pred = memory.prototypes[index]
        a, b = (body.vertices(p) - body.joints(p)[:, :1] for p in (pred, truth))
        expected = (a - b).norm(dim=2).mean(1) * 1000
        torch.testing.assert_close(column(found, "mpvpe_mm"), expected, rtol=1e-4, atol=1e-2)


def test_bodies_that_samples_share_and_samples_left_out_change_no_error(world, body):
    skeleton = PROTOCOLS["skeleton"]
    truth = truth_of(Samples.load(world.samples), body, skeleton)
    shared, rows = PrototypeMemory.load(world.memory).prototypes, torch.arange(N) % 3
    fixed = truth, body, skeleton
    of = torch.tensor([7, 2])
    alone = measure(shared[rows], *fixed)
    for found, expected in (
        (measure(shared, *fixed, rows=rows), alone),
        (measure(shared[rows], *fixed, of=of), {name: x[of] for name, x in alone.items()}),
    ):
        assert found.keys() == expected.keys() == {*METRICS}
        for name, values in found.items():
            torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-3)


def test_soft_selection_and_other_alignments_change_what_they_should(errors, world):
    none = {"name": "none", "joints": "smpl24", "mpjpe": "none", "mpvpe": "none"}
    none |= {"truth": "body", "gender": "neutral", "prediction": "neutral"}
    changed = {"selection": "soft", "also": ["hard"], "protocols": {"tiny": none}}
    options = evaluating(world.single, **changed)
    soft = evaluator(world, options).errors(world.samples, world.images)
    assert rows(soft, "oracle")["chosen"].tolist() == rows(errors, "oracle")["chosen"].tolist()
    assert (
        column(rows(soft, "mean"), "mpvpe_mm") != column(rows(errors, "mean"), "mpvpe_mm")
    ).any()
    # Procrustes does not see the alignment, the oracle not the selection
    a, b = (column(rows(frame, "oracle"), "pa_mpjpe_mm") for frame in (soft, errors))
    torch.testing.assert_close(a, b)
    a, b = (column(rows(frame, "chosen_prototype"), "pa_mpjpe_mm") for frame in (soft, errors))
    assert (a != b).any()
    # unaligned, the constant predictor is as far as the mean body
    mean = rows(soft, "mean")
    torch.testing.assert_close(column(mean, "mpvpe_mm"), column(mean, "distance_to_mean_mm"))


def test_errors_are_read_back_by_the_strict_reader(errors, world, tmp_path):
    path = tmp_path / "errors.parquet"
    about = evaluator(world).about([world.samples])
    write_errors(errors.assign(run="p3dh_k3_l5.0"), {"run": "p3dh_k3_l5.0", **about}, path)
    back = read_errors([path])
    assert len(back) == len(errors)
    assert set(back["method"]) == {"p3dh"}
    assert set(back["k"]) == {3}
    assert set(back["limb_weight"]) == {5.0}
    assert set(back["selection"]) == {"hard"}
    assert set(back["protocol"]) == {"alignment pelvis, 24 SMPL joints, neutral body"}
    for name in ("sample", "inference", "chosen"):
        assert back[name].tolist() == errors[name].tolist()
    assert back["mpvpe_mm"].tolist() == pytest.approx(errors["mpvpe_mm"].tolist())
    assert [file.name for file in tmp_path.iterdir()] == ["errors.parquet"]


def test_a_network_of_another_memory_is_refused(world, tmp_path):
    with pytest.raises(InputError, match=r"seed_0\.pt: trained on another prototype memory"):
        evaluator(world, memory=world.single)
    other = tmp_path / "other.npz"
    options = replace(CLUSTER, seed=8)
    request = MemoryRequest([world.samples], OPEN_BODY, options, "vertex", "flat", 0.1)
    build_memory(request).save(other)
    with pytest.raises(InputError, match=r"seed_0\.pt: trained on another prototype memory"):
        evaluator(world, memory=other)


def test_a_memory_of_another_body_is_refused(world, tmp_path):
    other = tmp_path / "other.npz"
    replace(PrototypeMemory.load(world.single), body="another").save(other)
    with pytest.raises(InputError, match=r"other\.npz: made with another body model"):
        evaluator(world, evaluating(other))


def test_a_seed_that_was_not_trained_is_named(world):
    with pytest.raises(InputError, match=r"seed_7\.pt: no such file of weights"):
        Evaluator.load(
            world.memory,
            world.samples.parent / "train",
            OPEN_BODY,
            [7],
            evaluating(world.single),
            MACHINE,
        )


def test_images_of_another_number_are_refused(world, tmp_path):
    write_images(tmp_path / "few.arrow", N - 1)
    with pytest.raises(InputError, match=rf"{N} samples, but {N - 1} images"):
        evaluator(world).errors(world.samples, tmp_path / "few.arrow")
