"""Each layout of the field, written from the open body, scores as our own evaluation does."""

import field_rules
import numpy as np
import pandas as pd
import pytest
import torch
from predicted import OF_ONE, WHOLE, Predicted, challenge

from pmnet.data.samples import Samples
from pmnet.evaluation import prediction
from pmnet.evaluation.error_table import METRICS
from pmnet.evaluation.predictions.reading import read_predictions
from pmnet.evaluation.protocols import PROTOCOLS

CLOSE_MM = 1e-3


def ours(predicted: Predicted, protocol: str, samples: Samples | None = None) -> pd.DataFrame:
    """Return the errors of the same bodies as `evaluate` measures them."""
    own = PROTOCOLS[protocol]
    truth = prediction.truth_of(samples or predicted.samples, predicted.body, own)
    errors = prediction.errors(predicted.params, truth, predicted.body, own)
    return pd.DataFrame({name: values.numpy() for name, values in errors.items()})


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, metrics=METRICS) -> None:
    for metric in metrics:
        gaps = np.abs(found[metric].to_numpy() - expected[metric].to_numpy())
        assert gaps.max() < CLOSE_MM, metric


@pytest.mark.parametrize("layout", WHOLE)
def test_a_layout_scores_as_ours(layout, predicted, bind, tmp_path):
    file, beside = WHOLE[layout](tmp_path, predicted)
    scored = bind(read_predictions(file, beside), predicted.samples)
    found = scored.errors()
    assert found["sample"].tolist() == list(range(len(predicted)))
    assert scored.joined.by_position == (
        layout in ("spin_by_position", "mmhuman3d_json", "pymaf_demo")
    )
    assert_same(found, ours(predicted, "spin_3dpw"))


@pytest.mark.parametrize("layout", OF_ONE)
def test_a_layout_of_one_person_scores_as_ours(layout, predicted, bind, tmp_path):
    rows = np.flatnonzero(np.array(predicted.samples.sequence) == "alone")
    alone = predicted.of(rows)
    file, beside = OF_ONE[layout](tmp_path, predicted)
    found = bind(read_predictions(file, beside), alone.samples).errors()
    assert_same(found, ours(alone, "spin_3dpw"))


@pytest.mark.parametrize("protocol", ["emdb", "skeleton"])
def test_joints_of_the_challenge_score_as_ours(protocol, predicted, bind, tmp_path):
    file, beside = challenge(tmp_path, predicted)
    found = bind(read_predictions(file, beside), predicted.samples, protocol).errors()
    assert found["mpvpe_mm"].isna().all()
    assert_same(found, ours(predicted, protocol), METRICS[1:])


def test_one_layout_by_an_independent_evaluation(predicted, bind, tmp_path):
    file, beside = WHOLE["spin_by_names"](tmp_path, predicted)
    found = bind(read_predictions(file, beside), predicted.samples).errors()
    arrays = predicted.body._arrays
    few = np.arange(0, len(predicted), 5)
    true = predicted.samples.body_params()
    right = np.concatenate(
        [
            field_rules.smpl(
                field_rules.gendered(arrays, predicted.samples.gender[row]),
                true.rotmats[[row]].double().numpy(),
                true.betas[[row]].double().numpy(),
            )
            for row in few
        ]
    )
    guess = field_rules.smpl(
        arrays, predicted.matrices[few].astype(float), predicted.betas[few].astype(float)
    )
    regressor = arrays["h36m_regressor"]
    joints = [field_rules.spin_joints(v, regressor, 14) for v in (guess, right)]
    expected = {"mpvpe_mm": field_rules.mean_gap(guess, right)}
    expected |= field_rules.joint_errors(*joints)
    assert_same(found.iloc[few], pd.DataFrame(expected))


def test_every_protocol_measures_poses_as_evaluate_does(predicted, bind, tmp_path):
    file, beside = WHOLE["own_pose"](tmp_path, predicted)
    predictions = read_predictions(file, beside)
    for name, protocol in PROTOCOLS.items():
        if protocol.truth == "body":
            assert_same(bind(predictions, predicted.samples, name).errors(), ours(predicted, name))


def test_meshes_with_their_skeleton_score_as_ours_by_the_skeleton(predicted, bind, tmp_path):
    file = tmp_path / "both.npz"
    content = {"vertices": predicted.vertices, "joints": predicted.skeleton}
    np.savez(file, image_name=predicted.names, box=predicted.boxes, joint_set="smpl24", **content)
    found = bind(read_predictions(file), predicted.samples, "skeleton").errors()
    assert_same(found, ours(predicted, "skeleton"))


@pytest.mark.parametrize(
    ("kind", "protocol"), [("h36m17", "spin_3dpw"), ("j14", "vibe"), ("j17", "spin_3dpw")]
)
def test_joints_alone_score_as_ours(kind, protocol, predicted, bind, tmp_path):
    joints = predicted.h36m
    if kind != "h36m17":
        joints = joints[:, field_rules.H36M_TO_J17[: int(kind[1:])]]
    file = tmp_path / "joints.npz"
    np.savez(file, image_name=predicted.names, box=predicted.boxes, joints=joints, joint_set=kind)
    found = bind(read_predictions(file), predicted.samples, protocol).errors()
    assert_same(found, ours(predicted, protocol), METRICS[1:])


def test_a_turned_file_scores_as_ours_once_it_is_turned(predicted, bind, tmp_path):
    for axis, signs in (("x180", [1, -1, -1]), ("y180", [-1, 1, -1])):
        file = tmp_path / f"{axis}.npz"
        np.savez(
            file,
            image_name=predicted.names,
            box=predicted.boxes,
            vertices=predicted.vertices * np.array(signs, np.float32),
        )
        found = bind(read_predictions(file), predicted.samples, turn=axis).errors()
        assert_same(found, ours(predicted, "spin_3dpw"))


def test_distances_and_facts_are_those_of_evaluate(predicted, scorer, bind, tmp_path):
    file, beside = WHOLE["own_pose"](tmp_path, predicted)
    found = bind(read_predictions(file, beside), predicted.samples).errors()
    truth = prediction.truth_of(predicted.samples, scorer.body, PROTOCOLS["spin_3dpw"])
    far = prediction.distance_to_mean_mm(truth, scorer.mean, scorer.body)
    torch.testing.assert_close(
        torch.from_numpy(found["distance_to_mean_mm"].to_numpy()), far, atol=1e-3, rtol=0
    )
    assert found["subject"].tolist() == predicted.samples.subject
    assert set(found["assigned"]) == set(found["chosen"]) == {-1}
