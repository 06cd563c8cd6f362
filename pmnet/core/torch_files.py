"""Files of torch: weights and checkpoints. No code in them is run."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, replacing


def save_torch(state: Mapping[str, Any], path: Path) -> None:
    """Write `state` as a file of torch, whole; equal states give equal bytes.

    Raises InputError where the file cannot be written.
    """
    try:
        # given a path, torch would also store its name, here that of the temporary file
        with replacing(path) as partial, partial.open("wb") as stream:
            torch.save(state, stream)
    except RuntimeError as error:  # what torch makes of a full disk
        raise InputError(
            f"{path}: cannot be written, probably because the disk is full ({error}); the file that was "
            "there is kept: make room on the disk and run the same command again"
        ) from None


def load_torch(path: Path, wanted: str, device: torch.device | str = "cpu") -> Any:
    """Return what a file of torch holds: tensors, numbers and texts, in lists and dicts.

    Raises FileNotFoundError, and InputError where the file is not `wanted`: it is damaged, asks for code,
    or stands for more bytes than it has.
    """
    refuse_special(path)
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        _refuse_compressed(path)
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a readable {wanted} ({reason:.200})") from None


def _refuse_compressed(path: Path) -> None:
    """Torch stores tensors as they are; a file that expands is a bomb."""
    if not zipfile.is_zipfile(path):
        return  # the format before torch 1.6, of some weights of torchvision
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    held = sum(member.file_size for member in members)
    if held > path.stat().st_size or any(member.compress_type for member in members):
        raise ValueError(f"its parts are of {held:,} bytes, more than the file has")
