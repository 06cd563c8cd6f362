"""`PrototypeStart`: what a regressor starts from, and what trains the choice."""

import pytest
import torch
from tiny_run import memory_of

import pmnet
from pmnet.body.rotations import rot6d_to_rotmat


@pytest.fixture
def start(body):
    torch.manual_seed(0)
    return pmnet.PrototypeStart(memory_of(body, 3), 8)


def test_labels_choose_the_start_and_the_loss_is_the_cross_entropy(start, body):
    memory, features = memory_of(body, 3), torch.randn(4, 8)
    nearest = torch.tensor([2, 0, -1, 1])
    got = start(features, nearest)
    scores = start.classifier(features)
    rows = torch.tensor([2, 0, int(scores[2].argmax()), 1])
    assert torch.equal(got.prototype, rows)
    rotmats = rot6d_to_rotmat(got.pose.view(4, 24, 6))
    torch.testing.assert_close(rotmats, memory.prototypes.rotmats[rows])
    assert torch.equal(got.betas, memory.prototypes.betas[rows])
    log = scores.log_softmax(1)
    expected = -(log[0, 2] + log[1, 0] + log[3, 1]) / 3
    torch.testing.assert_close(got.loss, expected)
    scale, x, y = memory.camera.tolist()
    assert got.camera[0].tolist() == pytest.approx([scale, x / scale, y / scale])


def test_without_labels_the_highest_score_chooses(start):
    features = torch.randn(5, 8)
    for nearest in (None, torch.full((5,), -1)):
        got = start(features, nearest)
        assert torch.equal(got.prototype, start.classifier(features).argmax(1))
        assert got.loss == 0


def test_only_the_classifier_is_trained(start):
    assert {name for name, _ in start.named_parameters()} == {
        "classifier.weight",
        "classifier.bias",
    }
    start(torch.randn(3, 8), torch.tensor([0, 1, 2])).loss.backward()
    assert start.classifier.weight.grad.abs().sum() > 0
    assert {"pose", "betas", "camera"} <= set(start.state_dict())
