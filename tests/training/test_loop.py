"""Training: batches, learning rate, and a tiny run that is killed, resumed, broken and locked."""

import csv
import fcntl
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bodies import embedding
from tiny_world import MACHINE, OPTIONS, SIZE_PX, SPIN, STILL, N, World, write_images, write_world

from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.embedded import embed_bodies
from pmnet.core import checkpoints
from pmnet.core.device import Machine
from pmnet.core.distributed import fabric_of
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.images.augmentation import Augmentation
from pmnet.memory.nearest import NearestPrototype
from pmnet.memory.spaces import space_of
from pmnet.model.losses import LossWeights, TrainingTargets, total_loss
from pmnet.model.weights import load_memory
from pmnet.training import seed as seeds
from pmnet.training.batches import batches
from pmnet.training.data import TrainingData
from pmnet.training.inputs import inputs_of, predicted_share
from pmnet.training.loop import TrainingDiverged, learning_rate
from pmnet.training.options import Balance, Train
from pmnet.training.run import TrainingRun, build_network
from pmnet.training.step import Step

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory, body) -> World:
    return write_world(tmp_path_factory.mktemp("world"), body)


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """Keep the checkpoints of each test apart."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "work")
    return tmp_path / "work"


def weights(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"seed_{seed}.pt", weights_only=True)["state"]


def assert_same_bytes(one: Path, other: Path) -> None:
    for name in ("seed_0.pt", "seed_0.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def rows_of(folder: Path, seed: int = 0) -> list[dict[str, str]]:
    with (folder / f"seed_{seed}.csv").open() as stream:
        return list(csv.DictReader(stream))


# --- batches and learning rate


def test_a_step_has_the_same_rows_wherever_one_starts():
    whole = list(batches(10, 3, seed=4, first=0, last=12))
    assert len(whole) == 12
    for first in range(12):
        rest = list(batches(10, 3, seed=4, first=first, last=12))
        assert all(torch.equal(a, b) for a, b in zip(whole[first:], rest, strict=True))


def test_a_pass_holds_each_row_once_at_most():
    steps = list(batches(10, 3, seed=4, first=0, last=9))
    for start in (0, 3, 6):
        rows = torch.cat(steps[start : start + 3])
        assert len(set(rows.tolist())) == len(rows) == 9
        assert rows.min() >= 0
        assert rows.max() < 10


def test_passes_and_seeds_have_orders_of_their_own():
    one, two = (torch.cat(list(batches(12, 4, 4, first, first + 3))) for first in (0, 3))
    other = torch.cat(list(batches(12, 4, 5, 0, 3)))
    assert one.sort()[0].tolist() == two.sort()[0].tolist() == list(range(12))
    assert not torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_batch_larger_than_the_data_is_all_of_it():
    for rows in batches(5, 32, seed=0, first=0, last=3):
        assert sorted(rows.tolist()) == list(range(5))


def test_the_learning_rate_warms_up_and_stays():
    options = replace(OPTIONS, schedule="constant", warmup_steps=4, learning_rate=0.8, steps=10)
    rates = [learning_rate(step, options) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, *[0.8] * 7])


def test_the_learning_rate_without_warm_up_is_whole_at_once():
    options = replace(OPTIONS, schedule="constant", warmup_steps=0)
    assert learning_rate(0, options) == options.learning_rate


def test_the_cosine_falls_from_the_learning_rate_to_zero():
    options = replace(OPTIONS, schedule="cosine", warmup_steps=0, learning_rate=0.8, steps=8)
    rates = [learning_rate(step, options) for step in range(9)]
    assert rates == pytest.approx([0.4 * (1 + math.cos(math.pi * s / 8)) for s in range(9)])
    assert rates[0] == pytest.approx(0.8)
    assert rates[4] == pytest.approx(0.4)
    assert rates[8] == pytest.approx(0)


# --- a tiny run


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", out / "work")
        world.train(out / "train")
    return out / "train"


def dies_at(step: int) -> Callable[[int, Train], float]:
    def rate(now: int, options: Train) -> float:
        if now == step:
            raise KeyboardInterrupt
        return learning_rate(now, options)

    return rate


def test_a_run_leaves_weights_and_a_log_but_no_checkpoint(undisturbed):
    assert {path.name for path in undisturbed.iterdir()} == {"seed_0.pt", "seed_0.csv"}
    assert not list(undisturbed.parent.rglob("*.ckpt"))
    rows = rows_of(undisturbed)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert 0 <= float(rows[0]["accuracy"]) <= 1


def test_the_log_is_the_weighted_sum_of_its_terms(undisturbed):
    for row in rows_of(undisturbed):
        value = {name: float(text) for name, text in row.items()}
        regression = 5 * value["keypoints_3d"] + 5 * value["keypoints_2d"] + value["pose"]
        total = regression + 0.1 * value["betas"] + value["prototype"]
        assert value["loss"] == pytest.approx(total, abs=1e-4)


def test_training_changes_the_weights_but_not_the_memory(world, undisturbed, tmp_path):
    world.train(tmp_path / "train", replace(OPTIONS, learning_rate=1e-5))
    one, two = weights(undisturbed), weights(tmp_path / "train")
    assert torch.equal(one["memory"], two["memory"])
    assert not torch.equal(one["estimator.0.weight"], two["estimator.0.weight"])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    world, undisturbed, tmp_path, work, monkeypatch, step
):
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(step))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "train")
    assert not (tmp_path / "train/seed_0.pt").exists()
    assert len(list(work.glob("*.ckpt"))) == (1 if step >= 2 else 0)
    world.train(tmp_path / "train")
    assert_same_bytes(tmp_path / "train", undisturbed)
    assert not list(work.glob("*.ckpt"))


def test_what_has_ended_is_not_trained_again_before_it_is_evaluated(
    world, undisturbed, tmp_path, work, monkeypatch
):
    out = tmp_path / "train"
    world.train_once(out)
    shutil.rmtree(out)  # as DVC does that was killed before it took note
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(0))
        world.train_once(out)
    assert_same_bytes(out, undisturbed)
    checkpoints.forget(out)
    assert {path.suffix for path in work.iterdir()} == {".lock"}


def test_a_seed_that_has_ended_is_not_trained_again_for_the_next(world, tmp_path, monkeypatch):
    options = replace(OPTIONS, seeds=[0, 1])
    world.train(tmp_path / "whole", options)
    rates = iter([learning_rate] * 4 + [dies_at(1)] * 2)
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", lambda *at: next(rates)(*at))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "train", options)
    shutil.rmtree(tmp_path / "train")
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            "pmnet.training.loop.learning_rate",
            lambda *at: steps.append(at[0]) or learning_rate(*at),
        )
        world.train(tmp_path / "train", options)
    assert steps == [0, 1, 2, 3]  # of seed 1 alone
    assert_same_bytes(tmp_path / "train", tmp_path / "whole")


def test_the_same_folder_is_not_trained_into_twice_at_once(world, tmp_path):
    with (
        checkpoints.held_seed(tmp_path / "train", 0),
        pytest.raises(
            InputError, match=r"another process \(\d+ on .*\) is already doing this work"
        ),
    ):
        world.train(tmp_path / "train", replace(OPTIONS, learning_rate=0.5))


def test_what_a_killed_process_had_half_written_is_removed(world, tmp_path, work):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/.seed_0.csv.123.partial").touch()
    key = "0123"
    work.mkdir()
    (work / f".{key}.ckpt.123.partial").touch()
    world.train(tmp_path / "train")
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"seed_0.pt", "seed_0.csv"}
    with checkpoints.held(key):
        assert not list(work.glob(".*.partial"))


def test_a_log_of_several_steps_a_row_survives_a_kill(world, tmp_path, monkeypatch):
    machine = replace(MACHINE, log_every=3, checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(2))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "killed", machine=machine)
    world.train(tmp_path / "killed", machine=machine)
    world.train(tmp_path / "whole", machine=machine)
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")


def test_a_checkpoint_of_other_settings_is_not_taken(world, tmp_path, work, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(3))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "one")
    other = replace(OPTIONS, learning_rate=5e-4)
    world.train(tmp_path / "two", other)
    assert len(rows_of(tmp_path / "two")) == 4
    assert len(list(work.glob("*.ckpt"))) == 1  # the first run's own


def test_two_seeds_are_two_networks_with_a_log_each(world, undisturbed, tmp_path):
    world.train(tmp_path / "train", replace(OPTIONS, seeds=[0, 1]))
    assert_same(weights(tmp_path / "train", 0), weights(undisturbed))
    one, two = (weights(tmp_path / "train", seed) for seed in (0, 1))
    assert not torch.equal(one["classifier.0.weight"], two["classifier.0.weight"])
    for seed in (0, 1):
        rows = [(row["seed"], row["step"]) for row in rows_of(tmp_path / "train", seed)]
        assert rows == [(str(seed), step) for step in "1234"]


def test_training_may_start_from_the_predicted_prototype(world, undisturbed, tmp_path):
    world.train(tmp_path / "train", replace(OPTIONS, start="predicted"))
    assert len(rows_of(tmp_path / "train")) == 4
    assert not torch.equal(
        weights(tmp_path / "train")["estimator.0.weight"],
        weights(undisturbed)["estimator.0.weight"],
    )


def test_mirrored_and_turned_people_get_the_prototype_that_is_near_then(world, body):
    memory = load_memory(world.memory, body)
    data = seeds.load_training_data([world.samples], [world.images], memory, body)
    nearest = NearestPrototype(memory, body).nearest(data.targets.params)
    assert torch.equal(nearest, memory.assignments)
    rows = torch.arange(N)
    fabric = fabric_of(MACHINE, "32-true")

    def batch_of(augmentation: Augmentation, data: TrainingData = data) -> TrainingTargets:
        options = replace(OPTIONS, augmentation=augmentation)
        network = build_network(options, memory)
        step = Step(network, TrainingRun(data, memory, body, options, MACHINE, fabric, seed=0))
        images = data.images.read(rows)
        return step.batch(inputs_of(0, rows, images, options, 0, fabric))[1]

    assert torch.equal(batch_of(STILL).prototype, memory.assignments)
    turned = replace(STILL, rotation_deg=90.0, rotation_share=1.0)
    truth = batch_of(turned)
    points = embed_bodies(
        embedding(space_of(memory.space, memory.vertex_weights, body)), truth.params, 0.1
    )
    assert torch.equal(truth.prototype, assign(points, memory.prototypes)[0])
    assert not torch.equal(truth.prototype, memory.assignments)
    unknown = replace(data.targets, has_smpl=~data.targets.has_smpl)
    kept = batch_of(turned, replace(data, targets=unknown))
    assert torch.equal(kept.prototype, memory.assignments)


def test_training_with_all_augmentation_and_context_runs(world, tmp_path):
    images = tmp_path / "wide.arrow"
    write_images(images, N, SIZE_PX, context=1.25)
    options = replace(OPTIONS, augmentation=SPIN, steps=2)
    replace(world, images=images).train(tmp_path / "train", options)
    assert len(rows_of(tmp_path / "train")) == 2


def test_a_broken_label_stops_the_run_and_is_named(world, tmp_path, monkeypatch):
    load = seeds.load_training_data

    def spoiled(*files):
        data = load(*files)
        data.targets.keypoints_2d[:, :, 0] = torch.nan
        return data

    monkeypatch.setattr(seeds, "load_training_data", spoiled)
    with pytest.raises(TrainingDiverged, match=r"step 0 \(term: keypoints_2d\).*8 samples such as"):
        world.train(tmp_path / "train")
    assert not (tmp_path / "train/seed_0.pt").exists()


def test_a_gradient_that_is_no_number_is_not_kept(world, tmp_path, work, monkeypatch):
    steps = iter(range(9))

    def spoiled(*given):
        loss = total_loss(*given)  # the root of 0 is a number, its gradient is none
        return loss + (0 * loss).sqrt() if next(steps) == 3 else loss

    monkeypatch.setattr("pmnet.training.step.total_loss", spoiled)
    with pytest.raises(TrainingDiverged, match=r"step 3 \(term: gradient\)"):
        world.train(tmp_path / "train")
    (checkpoint,) = work.glob("*.ckpt")
    assert torch.load(checkpoint, weights_only=True)["step"] == 2


def test_a_loss_that_diverges_later_names_its_step_and_samples(world, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pmnet.training.loop.learning_rate", lambda step, _: (0.0, 0.0, math.nan, 0.0)[step]
    )
    names = set(Samples.load(world.samples).image_name)
    with pytest.raises(TrainingDiverged, match="NaN or infinite at step 3") as caught:
        world.train(tmp_path / "train")
    listed = str(caught.value).split("such as ")[1].split(";")[0].split(", ")
    assert set(listed) <= names


def test_a_run_that_another_process_trains_is_refused(world, tmp_path, work, monkeypatch):
    keys = []
    training_key = checkpoints.training_key
    monkeypatch.setattr(seeds, "training_key", lambda *a: keys.append(training_key(*a)) or keys[-1])
    world.train(tmp_path / "first")
    # a second open file is a second holder, as another process would be
    with (work / f"{keys[-1]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            InputError, match=r"\.lock: another process .*is already doing this work"
        ):
            world.train(tmp_path / "second")
    assert not (tmp_path / "second/seed_0.pt").exists()
    world.train(tmp_path / "second")


def checkpoints_after(world: World, out: Path, options: Train, machine: Machine) -> set[str]:
    world.train_once(out, options, machine)
    return {path.name for path in checkpoints.FOLDER.glob("*.ckpt")}


def test_the_precision_names_a_checkpoint_and_the_intervals_do_not(world, tmp_path):
    first = checkpoints_after(world, tmp_path / "train", OPTIONS, MACHINE)
    often = replace(MACHINE, checkpoint_every=1, log_every=2)
    assert checkpoints_after(world, tmp_path / "train", OPTIONS, often) == first
    other = replace(OPTIONS, precision="tf32")
    assert len(checkpoints_after(world, tmp_path / "train", other, MACHINE) - first) == 1


def test_the_intervals_do_not_change_the_weights(world, undisturbed, tmp_path):
    world.train(tmp_path / "train", machine=replace(MACHINE, checkpoint_every=3, log_every=4))
    one, two = (folder / "seed_0.pt" for folder in (tmp_path / "train", undisturbed))
    assert one.read_bytes() == two.read_bytes()
    assert [row["step"] for row in rows_of(tmp_path / "train")] == ["4"]


def test_another_seed_of_a_run_may_train_at_the_same_time(world, undisturbed, tmp_path):
    with checkpoints.held_seed(tmp_path / "train", 1):
        world.train(tmp_path / "train")
    assert_same_bytes(tmp_path / "train", undisturbed)


def test_what_another_seed_is_writing_is_left_alone(world, tmp_path):
    (tmp_path / "train").mkdir()
    writing = tmp_path / "train/.seed_1.pt.123.partial"
    writing.touch()
    world.train(tmp_path / "train")
    assert writing.exists()


def test_a_checkpoint_of_a_seed_in_training_is_not_forgotten(world, tmp_path, work):
    out = tmp_path / "train"
    world.train_once(out, replace(OPTIONS, seeds=[0, 1]))
    with checkpoints.held_seed(out, 1):
        checkpoints.forget(out)
        assert len(list(work.glob("*.ckpt"))) == 1
    checkpoints.forget(out)
    assert not list(work.glob("*.ckpt"))


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), PermissionError(13, "no")]
)
def test_a_lock_that_cannot_be_written_is_one_line(monkeypatch, error):
    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fails)
        with pytest.raises(InputError, match=r"key\.lock: cannot be locked .*PMNET_WORK"):
            checkpoints.held("key").__enter__()
    with checkpoints.held("key"):  # the lock is free again
        pass


def test_a_folder_of_checkpoints_that_is_a_file_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "file")
    with pytest.raises(InputError, match=r"key\.lock: cannot be locked"):
        checkpoints.held("key").__enter__()


def test_the_key_tells_settings_files_and_code(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_text("one")
    key = checkpoints.training_key({"steps": 1}, [file])
    assert key == checkpoints.training_key({"steps": 1}, [file])
    assert key != checkpoints.training_key({"steps": 2}, [file])
    file.write_text("two")
    assert key != checkpoints.training_key({"steps": 1}, [file])


def test_the_lock_is_free_after_an_error():
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), checkpoints.held("key"):
            raise ZeroDivisionError


def test_a_compiled_step_is_whole_and_gives_the_same_numbers(world):
    files = (world.samples, world.images, world.memory, world.single)
    command = [sys.executable, str(ROOT / "tests/helpers/compiled_step.py"), *map(str, files)]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")])}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **path})
    assert done.returncode == 0, done.stderr
    plain, compiled = done.stdout.splitlines()
    assert plain == compiled and "nan" not in plain


# --- what the paper does not do


@pytest.mark.parametrize(
    "change",
    [
        {"start": "mixed"},
        {"start": "scheduled"},
        {"start": "mean"},
        {"classifier_hidden": 8, "estimator_hidden": 8},
        {"estimator": "spin", "estimator_hidden": 8},
        {"loss": LossWeights(5.0, 5.0, 1.0, 0.1, 1.0, 1.0, 1.0, "all")},
        {"freeze_encoder": True},
        {"clip_norm": 0.1},
        {"soft_mm": 100.0},
        {"balance": Balance("prototype", classes=True, mse_noise=0.1)},
        {"balance": Balance("distance", classes=False, mse_noise=0.0)},
    ],
    ids=str,
)
def test_each_option_trains_another_network_and_resumes(
    world, undisturbed, tmp_path, change, monkeypatch
):
    options = replace(OPTIONS, **change)
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(3))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "killed", options)
    world.train(tmp_path / "killed", options)
    world.train(tmp_path / "whole", options)
    found = weights(tmp_path / "whole")
    assert_same(weights(tmp_path / "killed"), found)
    assert not torch.equal(found["neck.0.weight"], weights(undisturbed)["neck.0.weight"])


def test_a_frozen_encoder_stays_as_it_began(world, tmp_path):
    options = replace(OPTIONS, freeze_encoder=True)
    world.train(tmp_path / "short", replace(options, steps=1))
    world.train(tmp_path / "long", options)
    one, two = weights(tmp_path / "short"), weights(tmp_path / "long")
    encoder = [name for name in one if name.startswith("encoder")]
    assert encoder and all(torch.equal(one[name], two[name]) for name in encoder)
    assert not torch.equal(one["neck.0.weight"], two["neck.0.weight"])


def test_the_running_mean_of_the_weights_is_what_is_kept(world, undisturbed, tmp_path):
    steps = [weights_after(world, tmp_path, count) for count in (0, 1, 2)]
    world.train(tmp_path / "mean", replace(CONSTANT, steps=2, ema=0.25))
    found = weights(tmp_path / "mean")["neck.0.weight"]
    expected = 0.25 * (0.25 * steps[0] + 0.75 * steps[1]) + 0.75 * steps[2]
    torch.testing.assert_close(found, expected)


CONSTANT = replace(OPTIONS, schedule="constant", warmup_steps=0)


def weights_after(world: World, folder: Path, count: int) -> torch.Tensor:
    """Return the weights after so many steps; a learning rate of 0 leaves them as they began."""
    options = replace(CONSTANT, steps=max(count, 1))
    options = options if count else replace(options, learning_rate=0.0)
    world.train(folder / str(count), options)
    return weights(folder / str(count))["neck.0.weight"]


def test_the_share_of_predicted_starts_follows_the_schedule():
    shares = {
        start: [predicted_share(step, replace(OPTIONS, start=start, steps=4)) for step in range(4)]
        for start in ("assigned", "predicted", "mixed", "scheduled", "mean")
    }
    assert shares["assigned"] == shares["mean"] == [0] * 4
    assert shares["predicted"] == [1] * 4 and shares["mixed"] == [0.5] * 4
    assert shares["scheduled"] == [0, 0.25, 0.5, 0.75]


def odd(checkpoint: Path, **changed: object) -> None:
    """Change entries of a checkpoint."""
    torch.save({**torch.load(checkpoint, weights_only=True), **changed}, checkpoint)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save([1], path),
        lambda path: odd(path, step=99),
        lambda path: odd(path, rows=[{"x": 1}]),
        lambda path: odd(path, count="x"),
        lambda path: odd(path, sums=torch.zeros(2)),
        lambda path: odd(path, network={}),
        lambda path: odd(path, optimizer={"state": {}, "param_groups": []}),
    ],
)
def test_training_starts_anew_where_its_checkpoint_is_damaged(
    world, undisturbed, tmp_path, work, monkeypatch, capsys, damage
):
    with monkeypatch.context() as patch:
        patch.setattr("pmnet.training.loop.learning_rate", dies_at(3))
        with pytest.raises(KeyboardInterrupt):
            world.train(tmp_path / "train")
    (checkpoint,) = work.glob("*.ckpt")
    damage(checkpoint)
    world.train(tmp_path / "train")
    assert f"{checkpoint}: not a" in capsys.readouterr().err
    assert_same_bytes(tmp_path / "train", undisturbed)


def test_a_full_disk_keeps_the_checkpoint_before(world, undisturbed, tmp_path, work, monkeypatch):
    dump, count = torch.save, iter(range(9))

    def full(state, stream):
        if next(count) == 1:
            stream.write(b"half")
            raise OSError(28, "No space left on device")
        dump(state, stream)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(InputError, match=r"\.ckpt: cannot be written \(No space left.*is kept"):
            world.train(tmp_path / "train")
    assert [path.suffix for path in work.iterdir()].count(".ckpt") == 1
    assert not list(work.glob("*.partial"))
    world.train(tmp_path / "train")
    assert_same_bytes(tmp_path / "train", undisturbed)
