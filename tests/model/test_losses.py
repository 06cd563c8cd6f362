"""The five terms, by hand: what they weigh, and that what a sample lacks does not matter."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import random_bodies

from pmnet.body import BodyParams
from pmnet.body.camera import project
from pmnet.body.keypoints import J24, J24_HIPS, J24_PELVIS
from pmnet.model.losses import (
    ClassTargets,
    LossWeights,
    TrainingTargets,
    camera_square,
    loss_terms,
    term_weights,
    total_loss,
)
from pmnet.model.network import Prediction

TERMS = ("keypoints_3d", "keypoints_2d", "pose", "betas", "prototype")
REGRESSION = TERMS[:-1]


def perfect(body, n: int = 3, k: int = 2) -> tuple[Prediction, torch.Tensor, TrainingTargets]:
    """Return a prediction without any error, indifferent scores, and its truth."""
    params, camera = random_bodies(n), torch.tensor([0.8, 0.1, -0.1]).expand(n, 3).clone()
    joints = body.joints(params)
    ones = torch.ones(n, 24, 1)
    truth = TrainingTargets(
        params=params,
        keypoints_3d=torch.cat([joints - joints[:, :1], ones], 2),
        keypoints_2d=torch.cat([project(joints, camera), ones], 2),
        has_smpl=torch.ones(n, dtype=torch.bool),
        has_keypoints_3d=torch.ones(n, dtype=torch.bool),
        prototype=torch.zeros(n, dtype=torch.long),
    )
    return Prediction(params, camera), torch.zeros(n, k), truth


def moved(truth: TrainingTargets, **amounts: float) -> TrainingTargets:
    """Return the truth with an offset added to all values of some fields of the first sample."""
    changed = {}
    for name, amount in amounts.items():
        values = getattr(truth, name).clone()
        values[0, :, :-1] += amount
        changed[name] = values
    return replace(truth, **changed)


def test_no_error_costs_nothing_but_the_class(body):
    terms = loss_terms(*perfect(body), body, "smpl24")
    assert tuple(terms) == TERMS
    for name in REGRESSION:
        assert float(terms[name]) == pytest.approx(0, abs=1e-9)
    assert float(terms["prototype"]) == pytest.approx(math.log(2))


def test_keypoints_are_a_mean_square_over_samples_joints_and_axes(body):
    pred, scores, truth = perfect(body)
    terms = loss_terms(
        pred, scores, moved(truth, keypoints_3d=0.3, keypoints_2d=0.6), body, "smpl24"
    )
    assert float(terms["keypoints_3d"]) == pytest.approx(0.09 / 3, rel=1e-4)
    assert float(terms["keypoints_2d"]) == pytest.approx(0.36 / 3, rel=1e-4)


def test_keypoints_count_by_their_confidence(body):
    pred, scores, truth = perfect(body, n=2)
    truth = moved(truth, keypoints_3d=0.3, keypoints_2d=0.6)
    truth.keypoints_3d[0, :, 3] = 0.5
    truth.keypoints_2d[0, :, 2] = 0.5
    terms = loss_terms(pred, scores, truth, body, "smpl24")
    assert float(terms["keypoints_3d"]) == pytest.approx(0.09 * 0.5 / 1.5, rel=1e-4)
    assert float(terms["keypoints_2d"]) == pytest.approx(0.36 * 0.5 / 1.5, rel=1e-4)


def test_keypoints_3d_are_relative_to_the_root(body):
    pred, scores, truth = perfect(body)
    joints = body.joints(pred.params)
    absolute = replace(truth, keypoints_3d=torch.cat([joints, torch.ones(3, 24, 1)], 2))
    expected = joints[:, 0].square().mean()
    found = loss_terms(pred, scores, absolute, body, "smpl24")["keypoints_3d"]
    torch.testing.assert_close(found, expected)


def test_pose_is_a_mean_square_of_the_matrices(body):
    pred, scores, truth = perfect(body, n=2)
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotmats = pred.params.rotmats.clone()
    rotmats[0, 5] = rotmats[0, 5] @ half_turn  # two columns change sign: 2 x |2 column|^2 = 8
    turned = replace(truth, params=BodyParams(rotmats, pred.params.betas))
    found = loss_terms(pred, scores, turned, body, "smpl24")["pose"]
    assert float(found) == pytest.approx(8 / (2 * 24 * 9), rel=1e-5)


def test_betas_are_a_mean_square(body):
    pred, scores, truth = perfect(body, n=2)
    betas = pred.params.betas.clone()
    betas[1, 4] += 3
    other = replace(truth, params=BodyParams(pred.params.rotmats, betas))
    found = loss_terms(pred, scores, other, body, "smpl24")["betas"]
    assert float(found) == pytest.approx(9 / 20, rel=1e-5)


def test_the_class_costs_its_cross_entropy(body):
    pred, _, truth = perfect(body, n=2)
    scores = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    found = loss_terms(pred, scores, truth, body, "smpl24")["prototype"]
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_one_prototype_costs_no_class(body):
    pred, _, truth = perfect(body, k=1)
    assert float(loss_terms(pred, torch.full((3, 1), 7.0), truth, body, "smpl24")["prototype"]) == 0


def broken(truth: TrainingTargets, row: int) -> TrainingTargets:
    """Return the truth with one sample that has nothing, and NaN where nothing is."""
    values = {name: value.clone() for name, value in vars(truth).items() if name != "params"}
    rotmats, betas = truth.params.rotmats.clone(), truth.params.betas.clone()
    rotmats[row] = betas[row] = torch.nan
    values["keypoints_3d"][row, :, :3] = values["keypoints_2d"][row, :, :2] = torch.nan
    values["keypoints_2d"][row, :, 2] = 0
    values["has_smpl"][row] = values["has_keypoints_3d"][row] = False
    return TrainingTargets(params=BodyParams(rotmats, betas), **values)


def test_what_a_sample_lacks_does_not_count(body):
    pred, scores, truth = perfect(body)
    scores = torch.tensor([[1.0, 0.0], [0.0, 9.0], [0.5, 0.0]])
    truth = moved(truth, keypoints_3d=0.3, keypoints_2d=0.6)
    kept = torch.tensor([0, 2])
    few = Prediction(pred.params[kept], pred.camera[kept])
    expected = loss_terms(few, scores[kept], truth[kept], body, "smpl24")
    found = loss_terms(pred, scores, broken(truth, 1), body, "smpl24")
    for name in TERMS:
        torch.testing.assert_close(found[name], expected[name])


def test_what_a_sample_lacks_leaves_the_gradient_finite(body):
    pred, scores, truth = perfect(body)
    leaves = [pred.params.rotmats, pred.params.betas, pred.camera, scores]
    leaves = [(leaf + 0.01).requires_grad_() for leaf in leaves]
    pred = Prediction(BodyParams(leaves[0], leaves[1]), leaves[2])
    sum(loss_terms(pred, leaves[3], broken(truth, 1), body, "smpl24").values()).backward()
    for leaf in leaves:
        assert torch.isfinite(leaf.grad).all()
        assert float(leaf.grad[1].abs().max()) == 0
        assert float(leaf.grad[0].abs().max()) > 0


def test_a_batch_that_lacks_everything_costs_nothing(body):
    pred, scores, truth = perfect(body, n=1)
    terms = loss_terms(pred, scores, broken(truth, 0), body, "smpl24")
    assert {name: float(term) for name, term in terms.items()} == dict.fromkeys(TERMS, 0.0)


def test_small_weights_make_a_mean_too(body):
    pred, scores, truth = perfect(body)
    truth = moved(truth, keypoints_2d=0.5)
    expected = loss_terms(pred, scores, truth, body, "smpl24")["keypoints_2d"]
    assert float(expected) > 0.05
    truth.keypoints_2d[..., 2] *= 0.01
    found = loss_terms(pred, scores, truth, body, "smpl24")["keypoints_2d"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("joints", ["smpl24", "j24"])
def test_parts_of_a_batch_add_up_to_its_terms(body, joints):
    pred, scores, truth = perfect(body)
    scores = torch.tensor([[1.0, 0.0], [0.0, 9.0], [0.5, 0.0]])
    truth = broken(moved(truth, keypoints_3d=0.3, keypoints_2d=0.6), 1)
    classes = ClassTargets(torch.eye(2), torch.tensor([1.0, 3.0]))
    whole = loss_terms(pred, scores, truth, body, joints, classes)
    totals = torch.stack([w.sum() for w in term_weights(truth, joints, classes).values()])
    parts = [
        loss_terms(
            Prediction(pred.params[rows], pred.camera[rows]),
            scores[rows],
            truth[rows],
            body,
            joints,
            classes,
            totals=totals,
        )
        for rows in (torch.tensor([0, 1]), torch.tensor([2]))
    ]
    for name in TERMS:
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name])
        assert float(whole[name]) > 0 or name in ("pose", "betas")


def test_the_sum_takes_each_weight_and_scales_the_regression():
    terms = {name: torch.tensor(float(10**place)) for place, name in enumerate(TERMS)}
    weights = LossWeights(
        keypoints_3d=1.0,
        keypoints_2d=2.0,
        pose=3.0,
        betas=4.0,
        prototype=5.0,
        regression_scale=7.0,
        camera=6.0,
        mean_over="known",
    )
    assert float(total_loss(terms, weights)) == 7 * 4321 + 5 * 10000
    assert float(total_loss(terms, weights, torch.tensor(2.0))) == 7 * (4321 + 12) + 5 * 10000


def test_the_camera_regulariser_is_spins():
    scales = torch.tensor([[0.0, 3.0, 3.0], [0.1, 0.0, 0.0], [1.0, 0.0, 0.0]])
    expected = torch.tensor([1.0, 0.13533528, 2.0611537e-9])  # exp(-20 s)
    torch.testing.assert_close(camera_square(scales), expected)


def test_keypoints_are_divided_by_all_numbers_as_in_spin_or_by_the_known_ones(body):
    """Two of three samples have 3D joints, one joint of them is seen in 2D only by the first."""
    pred, scores, truth = perfect(body)
    seen = torch.zeros(3, 24, 1)
    seen[0, 5] = 1
    flags = torch.tensor([True, True, False])
    truth = replace(
        truth,
        keypoints_2d=torch.cat([truth.keypoints_2d[..., :2] + 0.1, seen], 2),
        keypoints_3d=truth.keypoints_3d + 0.2 * torch.tensor([1.0, 1, 1, 0]),
        has_keypoints_3d=flags,
    )
    known, spin = (
        loss_terms(pred, scores, truth, body, "smpl24", mean_over=over) for over in ("known", "all")
    )
    assert float(known["keypoints_2d"]) == pytest.approx(0.01, rel=1e-4)
    assert float(spin["keypoints_2d"]) == pytest.approx(2 * 0.01 / (3 * 98), rel=1e-4)
    assert float(known["keypoints_3d"]) == pytest.approx(0.04, rel=1e-4)
    assert float(spin["keypoints_3d"]) == pytest.approx(0.04, rel=1e-4)  # all 24 joints are known
    few = truth.keypoints_3d.clone()
    few[:, :12, 3] = 0
    spin = loss_terms(
        pred, scores, replace(truth, keypoints_3d=few), body, "smpl24", mean_over="all"
    )
    assert float(spin["keypoints_3d"]) == pytest.approx(0.02, rel=1e-4)


def test_truth_is_indexed_by_sample(body):
    _, _, truth = perfect(body)
    part = truth[torch.tensor([2, 0])]
    assert torch.equal(part.keypoints_3d, truth.keypoints_3d[[2, 0]])
    assert torch.equal(part.params.betas, truth.params.betas[[2, 0]])


# --- annotated joints (J24)


def perfect_j24(body) -> tuple[Prediction, torch.Tensor, TrainingTargets]:
    """Return a prediction without any error where the truth is J24, relative to the pelvis."""
    pred, scores, truth = perfect(body)
    joints = body.keypoints(body.vertices(pred.params))
    ones = torch.ones(len(joints), 24, 1)
    rooted = joints - joints[:, J24_PELVIS, None]
    return (
        pred,
        scores,
        replace(
            truth,
            keypoints_3d=torch.cat([rooted, ones], 2),
            keypoints_2d=torch.cat([project(joints, pred.camera), ones], 2),
        ),
    )


def test_annotated_joints_are_made_from_the_vertices(body):
    terms = loss_terms(*perfect_j24(body), body, "j24")
    for name in REGRESSION:
        assert float(terms[name]) == pytest.approx(0, abs=1e-9)
    wrong = loss_terms(*perfect_j24(body), body, "smpl24")
    assert float(wrong["keypoints_3d"]) > 1e-3
    assert float(wrong["keypoints_2d"]) > 1e-3


def test_annotated_joints_are_relative_to_the_hips(body):
    pred, scores, truth = perfect_j24(body)
    elsewhere = moved(truth, keypoints_3d=5.0)
    assert float(loss_terms(pred, scores, elsewhere, body, "j24")["keypoints_3d"]) < 1e-9
    truth.keypoints_3d[0, J24.index("head"), :3] += 0.3
    found = loss_terms(pred, scores, truth, body, "j24")["keypoints_3d"]
    assert float(found) == pytest.approx(0.09 / (3 * 24), rel=1e-4)


def test_a_sample_whose_hips_are_not_known_has_no_annotated_3d_joints(body):
    pred, scores, truth = perfect_j24(body)
    truth.keypoints_3d[0, J24_HIPS[0], :3] = torch.nan
    truth.keypoints_3d[0, J24_HIPS[0], 3] = 0
    truth.keypoints_3d[0, 0, :3] += 9
    assert float(loss_terms(pred, scores, truth, body, "j24")["keypoints_3d"]) < 1e-9


def test_the_gradient_of_annotated_joints_reaches_pose_shape_and_camera(body):
    pred, scores, truth = perfect_j24(body)
    leaves = [pred.params.rotmats, pred.params.betas, pred.camera]
    leaves = [(leaf + 0.01).requires_grad_() for leaf in leaves]
    pred = Prediction(BodyParams(leaves[0], leaves[1]), leaves[2])
    terms = loss_terms(pred, scores, broken(truth, 1), body, "j24")
    (terms["keypoints_3d"] + terms["keypoints_2d"]).backward()
    for leaf in leaves:
        assert torch.isfinite(leaf.grad).all()
        assert float(leaf.grad[1].abs().max()) == 0
        assert float(leaf.grad[0].abs().max()) > 0


def test_a_sample_without_prototype_costs_no_class(body):
    pred, _, truth = perfect(body, n=2)
    scores = torch.tensor([[2.0, 0.0], [0.0, 5.0]], requires_grad=True)
    truth = replace(truth, prototype=torch.tensor([0, -1]), has_smpl=torch.tensor([True, False]))
    found = loss_terms(pred, scores, truth, body, "smpl24")["prototype"]
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    found.backward()
    assert scores.grad[1].tolist() == [0, 0]
