"""The protocols of the field against an evaluation written anew from their descriptions (field_rules)."""

from dataclasses import replace
from pathlib import Path

import field_rules
import numpy as np
import pytest
import torch
from bodies import random_bodies
from people import draw_people, open_body
from regressors import gendered_arrays, write_h36m
from typer.testing import CliRunner

from pmnet.body import OPEN_BODY, BodyModel, BodyParams, read_body
from pmnet.cli import app
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.evaluation import prediction
from pmnet.evaluation.extra import auc, pa_mpvpe_mm, pck
from pmnet.evaluation.needs import check_regressors
from pmnet.evaluation.phrases import besides, by_dataset, phrase_of
from pmnet.evaluation.protocols import PROTOCOLS, parse_protocol, protocol_of

N = 6
GENDERS = ["male", "female", "neutral"] * (N // 3)
EXACT = {"rtol": 0, "atol": 1e-3}  # mm


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> dict[str, np.ndarray]:
    return gendered_arrays(tmp_path_factory.mktemp("bodies"))


@pytest.fixture(scope="module")
def full(arrays) -> BodyModel:
    return BodyModel(arrays)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Return people of three genders, whose annotated joints differ a little from those of their bodies."""
    people, noise = draw_people(N, 3), np.random.default_rng(0).normal(0, 0.02, (N, 24, 3))
    ones = np.ones((N, 24, 1))
    rows = Rows(
        image_name=[f"{row}.jpg" for row in range(N)],
        center=np.full((N, 2), 100.0),
        scale=np.ones(N),
        poses=people.poses,
        betas=people.betas,
        keypoints_3d=np.concatenate([people.keypoints_m + noise, ones], 2),
        gender=GENDERS,
    )
    return to_samples("pw3d", rows, Path("pw3d"), Path(), open_body())


@pytest.fixture(scope="module")
def pred() -> BodyParams:
    """Return predictions near the truth."""
    truth, noise = draw_people(N, 3).params, random_bodies(N, 5, spread=0.15, betas_spread=0.5)
    return BodyParams(truth.rotmats @ noise.rotmats, truth.betas + noise.betas)


def numpy_vertices(arrays, params: BodyParams, genders: list[str]) -> np.ndarray:
    """Return vertices, each of its gender, by the independent body model."""
    bodies = []
    for row, gender in enumerate(genders):
        own = arrays if gender == "neutral" else field_rules.gendered(arrays, gender)
        one = params.rotmats[[row]].double().numpy(), params.betas[[row]].double().numpy()
        bodies.append(field_rules.smpl(own, *one)[0])
    return np.stack(bodies)


def measured(samples: Samples, pred: BodyParams, body: BodyModel, name: str, **extra):
    protocol = PROTOCOLS[name]
    truth = prediction.truth_of(samples, body, protocol)
    return prediction.errors(pred, truth, body, protocol, extra)


NEUTRAL = ["neutral"] * N


@pytest.mark.parametrize(
    ("name", "count", "truth", "true_genders", "pred_genders"),
    [
        ("spin_h36m", 14, "S", NEUTRAL, NEUTRAL),
        ("spin_3dhp", 17, "S", NEUTRAL, NEUTRAL),
        ("spin_3dpw", 14, "mesh", GENDERS, NEUTRAL),
        ("spin_neutral", 14, "mesh", NEUTRAL, NEUTRAL),
        ("ihmr", 14, "mesh", GENDERS, GENDERS),
    ],
)
def test_errors_are_those_of_the_independent_evaluation(
    samples, pred, full, arrays, name, count, truth, true_genders, pred_genders
):
    found = measured(samples, pred, full, name)
    guess = numpy_vertices(arrays, pred, pred_genders)
    true = numpy_vertices(arrays, samples.body_params(), true_genders)
    joints = field_rules.spin_joints(guess, arrays["h36m_regressor"], count)
    if truth == "S":
        annotated = samples.keypoints_3d[..., :3].double().numpy()  # relative to the pelvis
        right = annotated[:, field_rules.J24_TO_J17[:count]]
    else:
        right = field_rules.spin_joints(true, arrays["h36m_regressor"], count)
    expected = field_rules.joint_errors(joints, right)
    expected["mpvpe_mm"] = field_rules.mean_gap(guess, true)
    assert set(expected) == set(found)
    for metric, values in expected.items():
        np.testing.assert_allclose(found[metric].numpy(), values, err_msg=metric, **EXACT)


@pytest.mark.parametrize(("name", "row"), [("bedlam", 0), ("wham", None)])
def test_vertices_are_aligned_by_the_regressors_of_other_systems(
    samples, pred, full, arrays, name, row
):
    found = measured(samples, pred, full, name)
    pair = (
        numpy_vertices(arrays, pred, NEUTRAL),
        numpy_vertices(arrays, samples.body_params(), GENDERS),
    )
    rooted = []
    for vertices in pair:
        joints = np.einsum("jv,nvc->njc", arrays["h36m_regressor"].astype(float), vertices)
        origin = joints[:, [0]] if row == 0 else (joints[:, [4]] + joints[:, [1]]) / 2
        rooted.append((vertices - origin, joints[:, field_rules.H36M_TO_J17[:14]] - origin))
    (v, j), (true_v, true_j) = rooted
    np.testing.assert_allclose(found["mpvpe_mm"].numpy(), field_rules.mean_gap(v, true_v), **EXACT)
    np.testing.assert_allclose(found["mpjpe_mm"].numpy(), field_rules.mean_gap(j, true_j), **EXACT)


def test_pck_auc_and_pa_mpvpe_are_those_of_the_independent_evaluation(samples, pred, full, arrays):
    far = BodyParams(pred.rotmats[torch.arange(N).roll(1)], pred.betas)  # some joints beyond 150 mm
    metrics = {
        "pck": lambda c: pck.measure(c, pck.Options(150.0)),
        "auc": lambda c: auc.measure(c, auc.Options(150.0, 31)),
        "pa_mpvpe": lambda c: pa_mpvpe_mm.measure(c, pa_mpvpe_mm.Options()),
    }
    found = measured(samples, far, full, "spin_3dhp", **metrics)
    guess = numpy_vertices(arrays, far, NEUTRAL)
    joints = field_rules.spin_joints(guess, arrays["h36m_regressor"], 17)
    right = samples.keypoints_3d[:, field_rules.J24_TO_J17, :3].double().numpy()
    share, area = field_rules.pck_and_auc(joints, right)
    assert 5 < share < 95
    assert found["pck"].mean().item() == pytest.approx(share, abs=1e-3)
    assert found["auc"].mean().item() == pytest.approx(area, abs=1e-3)
    true = numpy_vertices(arrays, samples.body_params(), NEUTRAL)
    expected = field_rules.mean_gap(field_rules.procrustes(guess, true), true)
    np.testing.assert_allclose(found["pa_mpvpe"].numpy(), expected, **EXACT)


def test_a_mix_up_of_regressors_is_seen(samples, pred, full):
    """J24 and the joints of Human3.6M differ by more than 5 mm, and so do their MPJPEs."""
    vertices = full.vertices(samples.body_params())
    j24 = full.keypoints(vertices)[:, field_rules.J24_TO_J17]
    h36m = full.h36m_joints(vertices)[:, field_rules.H36M_TO_J17]
    apart = 1000 * (j24 - h36m).norm(dim=2).mean(0)
    assert apart.mean() > 5 and apart.max() > 20, apart
    trained_on = parse_protocol(
        {"joints": "j24_j14", "mpjpe": "mpii_pelvis", "mpvpe": "none", "truth": "joints"}
        | {"gender": "neutral", "prediction": "neutral"},
        "evaluate.protocols.h36m",
    )
    truth = prediction.truth_of(samples, full, trained_on)
    mixed_up = prediction.errors(pred, truth, full, trained_on)["mpjpe_mm"].mean()
    assert abs(mixed_up - measured(samples, pred, full, "spin_h36m")["mpjpe_mm"].mean()) > 5


def test_gendered_truth_differs_from_neutral_truth(samples, pred, full):
    gaps = [measured(samples, pred, full, n)["mpvpe_mm"] for n in ("spin_3dpw", "spin_neutral")]
    same = torch.tensor([gender == "neutral" for gender in GENDERS])
    assert torch.equal(gaps[0][same], gaps[1][same])
    assert ((gaps[0] - gaps[1])[~same].abs() > 1).all()


# --- names, phrases and what is refused


def test_every_named_protocol_can_be_used(samples, pred, full):
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and parse_protocol(name, "here") == protocol
        found = measured(samples, pred, full, name)
        assert all(torch.isfinite(values).all() for values in found.values()), name


def test_the_default_of_the_open_body_is_in_the_words_of_its_tables():
    skeleton = {"open_rare": PROTOCOLS["skeleton"], "open_common": PROTOCOLS["skeleton"]}
    assert phrase_of(skeleton) == "alignment pelvis, 24 SMPL joints, neutral body"
    assert phrase_of(skeleton, gendered=True).endswith(", true body of its gender")


def test_a_phrase_is_taken_apart_by_data_set():
    protocols = {"h36m": PROTOCOLS["spin_h36m"], "pw3d": PROTOCOLS["spin_3dpw"]}
    phrase = phrase_of(protocols) + ", hard selection"
    words = "alignment none (MPJPE: h36m_pelvis), J14 of J_regressor_h36m, "
    assert by_dataset(phrase) == {
        "h36m": ("spin_h36m", words + "annotated joints, neutral body"),
        "pw3d": ("spin_3dpw", words + "true body of its gender"),
    }
    assert besides(phrase) == "hard selection"
    assert by_dataset("alignment pelvis, 24 SMPL joints, neutral body, hard selection") == {}


OWN = {"joints": "h36m_j14", "mpjpe": "h36m_pelvis", "mpvpe": "none", "truth": "joints"}
OWN |= {"gender": "neutral", "prediction": "neutral"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("spni", r"p\.h36m: 'spni' is no protocol; known are: skeleton, spin_h36m"),
        (3, r"p\.h36m: expected the name of a protocol or a mapping of joints, mpjpe"),
        (OWN | {"joints": "j15"}, r"p\.h36m\.joints: 'j15' is not one of smpl24"),
        (OWN | {"mpjpe": "pelvis"}, r"p\.h36m\.mpjpe: pelvis with truth: joints; .* h36m_pelvis"),
        (OWN | {"name": "my [own]"}, r"p\.h36m\.name: 'my \[own\]'"),
        ({"joints": "h36m_j14"}, r"p\.h36m\.mpjpe: missing"),
    ],
)
def test_what_is_no_protocol_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        protocol_of("h36m", {"h36m": value}, "p")
    assert protocol_of("h36m", {"h36m": OWN}, "p").name == "own"


def test_a_missing_regressor_or_gender_is_one_error_before_any_training(arrays):
    neutral = {key: a for key, a in arrays.items() if not key.startswith(("male", "female"))}
    plain, where = read_body(OPEN_BODY), "params.yaml: evaluate.protocols"
    body = Path("SMPL_NEUTRAL.npz")
    with pytest.raises(InputError) as refused:
        check_regressors(plain, {"h36m": "spin_h36m"}, where, body)
    assert str(refused.value) == (
        "SMPL_NEUTRAL.npz: params.yaml: evaluate.protocols.h36m is spin_h36m, but the body model lacks "
        "J_regressor_h36m: J_regressor_h36m.npy is in SPIN's data.tar.gz (fetch_data.sh): run `pmnet body "
        "import SMPL.pkl --h36m J_regressor_h36m.npy` again and set body.file to its output"
    )
    with pytest.raises(
        InputError, match=r"protocols\.pw3d is spin_3dpw, but .* lacks male or female"
    ):
        check_regressors(neutral, {"h36m": "spin_h36m", "pw3d": "spin_3dpw"}, where, body)
    check_regressors(arrays, {"h36m": "spin_h36m", "pw3d": "spin_3dpw"}, where, body)
    check_regressors(plain, {"default": "skeleton"}, where, body)
    with pytest.raises(InputError, match="no J_regressor_h36m"):
        BodyModel(plain).h36m_joints(torch.zeros(1, 6890, 3))


def run_import(*words: object) -> str:
    done = CliRunner().invoke(app, ["body", "import", *map(str, words)])
    return done.output if done.exit_code == 0 else str(done.exception)


def test_the_regressor_is_imported_and_changes_no_body(tmp_path, body):
    regressor, out = write_h36m(tmp_path / "J_regressor_h36m.npy"), tmp_path / "body.npz"
    assert "set body.file" in run_import(OPEN_BODY, "--out", out, "--h36m", regressor)
    found = BodyModel.load(out)
    assert found.has_h36m and not body.has_h36m
    assert found.sha256 == body.sha256  # memories and samples of this body stay valid
    vertices = body.vertices(random_bodies(2))
    expected = torch.from_numpy(np.load(regressor)).float() @ vertices
    torch.testing.assert_close(found.h36m_joints(vertices), expected)
    double = found.double_precision()
    assert double.h36m_joints(vertices.double()).dtype == torch.float64


def test_another_array_is_no_regressor(tmp_path):
    path, out = tmp_path / "J_regressor_h36m.npy", tmp_path / "body.npz"
    assert "no such file; both regressors are in SPIN's data.tar.gz" in run_import(
        OPEN_BODY, "--out", out, "--h36m", path
    )
    rows = np.load(write_h36m(path))
    right_first = rows[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    for wrong, message in (
        (rows[:14], "expected J_regressor_h36m.npy, 17 x 6890 numbers"),
        (rows * np.nan, "holds float64 or NaN; expected finite numbers"),
        (rows * 1.5, "row 0 sums to 1.5; expected 1"),
        (
            right_first,
            "row 1 lies on the wrong side of the body for left_hip; expected the rows of SPIN",
        ),
    ):
        np.save(path, wrong)
        assert message in run_import(OPEN_BODY, "--out", out, "--h36m", path)
        assert not out.exists()


def test_samples_of_no_body_are_measured_by_their_joints(samples, pred, full):
    bodiless = replace(samples, has_smpl=torch.zeros(N, dtype=torch.bool))
    found = measured(bodiless, pred, full, "spin_3dhp")
    assert found["mpvpe_mm"].isnan().all() and found["mpjpe_mm"].isfinite().all()
    with_bodies = measured(samples, pred, full, "spin_3dhp")
    assert torch.equal(found["mpjpe_mm"], with_bodies["mpjpe_mm"])
