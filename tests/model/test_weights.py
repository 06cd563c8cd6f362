"""The files of a run: which seeds are kept, and the precision that a network was trained in."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tiny_network import config_of, network_of

from pmnet.core.errors import InputError
from pmnet.model.weights import log_file, model_file, precision_of, remove_other_seeds


def test_only_weights_and_logs_of_other_seeds_are_removed(tmp_path):
    for seed in (0, 1, 10):
        model_file(tmp_path, seed).touch()
        log_file(tmp_path, seed).touch()
    (tmp_path / "notes.txt").touch()
    remove_other_seeds(tmp_path, [0, 10])
    names = {"seed_0.pt", "seed_0.csv", "seed_10.pt", "seed_10.csv", "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == names


def write_weights(folder: Path, **settings: str) -> Path:
    known = {**asdict(config_of()), **settings}
    saved = {"state": network_of().state_dict(), "settings": known, "body": ""}
    torch.save(saved, folder / "seed_0.pt")
    return folder / "seed_0.pt"


def test_a_network_without_a_precision_was_trained_in_float32(tmp_path):
    assert precision_of(write_weights(tmp_path)) == "32-true"
    assert precision_of(write_weights(tmp_path, precision="tf32")) == "tf32"


def test_an_unknown_precision_is_named(tmp_path):
    path = write_weights(tmp_path, precision="8-bit")
    with pytest.raises(InputError, match=r"seed_0\.pt: settings\.precision: '8-bit' is not one of"):
        precision_of(path)
