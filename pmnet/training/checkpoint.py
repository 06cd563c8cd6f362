"""Writing what training has come to, and taking it up again."""

from pathlib import Path
from typing import Any

import torch

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.training.log import Row
from pmnet.training.step import Step


def write(state: dict[str, Any], path: Path) -> None:
    """Write a file of torch, whole; the same state is the same bytes.

    To a path torch would write the name of the file, here a passing one, as well. Raises InputError
    where the disk is full.
    """
    try:
        with replacing(path) as partial, partial.open("wb") as stream:
            torch.save(state, stream)
    except RuntimeError as error:  # what torch makes of a full disk
        raise InputError(
            f"{path}: cannot be written, most likely for want of room ({error}); what was there before "
            "is kept: make room on the disk and run the same command again"
        ) from None


def save(step: Step, done: int, rows: list[Row], checkpoint: Path) -> None:
    """Write a checkpoint, whole; where that fails the one before it stays."""
    write(
        {
            "network": step.network.state_dict(),
            "optimizer": step.optimizer.state_dict(),
            "average": step.average,
            "sums": step.sums,
            "count": step.count,
            "step": done,
            "rows": rows,
        },
        checkpoint,
    )


def resume(step: Step, checkpoint: Path) -> tuple[int, list[Row]]:
    """Bring the step to where a checkpoint was, and return the steps done and the rows of the log."""
    if not checkpoint.exists():
        return 0, []
    try:
        state = torch.load(checkpoint, map_location=step.fabric.device, weights_only=True)
        step.network.load_state_dict(state["network"])
        step.optimizer.load_state_dict(state["optimizer"])
        for mine, saved in zip(step.average, state["average"], strict=True):
            mine.copy_(saved)
        step.sums.copy_(state["sums"])
    except Exception as error:  # torch raises many kinds for a broken file
        raise InputError(
            f"{checkpoint}: not a readable checkpoint ({error}); delete it to train from the start"
        ) from None
    step.count = state["count"]
    say(f"going on from step {state['step']} of {step.options.steps}")
    return state["step"], state["rows"]
