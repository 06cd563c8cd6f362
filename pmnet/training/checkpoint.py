"""Writing the state of a training to disk, and resuming from it."""

from pathlib import Path
from typing import Any

import torch

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.training.log import Row
from pmnet.training.step import Step


def write(state: dict[str, Any], path: Path) -> None:
    """Write `state` as a file of torch, whole; equal states give equal bytes.

    Raises InputError where the disk is full.
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


def save(step: Step, done: int, rows: list[Row], checkpoint: Path) -> None:
    """Write a checkpoint after `done` steps; where that fails, the checkpoint before it stays."""
    write({**step.state_dict(), "step": done, "rows": rows}, checkpoint)


def resume(step: Step, checkpoint: Path) -> tuple[int, list[Row]]:
    """Load a checkpoint into `step`; return the number of steps done and the rows of the log.

    Without a checkpoint nothing is done yet. Raises InputError for a damaged file.
    """
    if not checkpoint.exists():
        return 0, []
    try:
        state = torch.load(checkpoint, map_location=step.fabric.device, weights_only=True)
        step.load_state_dict(state)
        done, rows = state["step"], state["rows"]
    except Exception as error:  # torch raises many kinds for a broken file
        raise InputError(
            f"{checkpoint}: not a readable checkpoint ({error}); delete it to train from the start"
        ) from None
    say(f"going on from step {done} of {step.options.steps}")
    return done, rows
