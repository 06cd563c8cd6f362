"""Writing the state of a training to disk, and resuming from it."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from pmnet.core.errors import InputError
from pmnet.core.header import read_header
from pmnet.core.progress import say
from pmnet.core.torch_files import load_torch, save_torch
from pmnet.training.log import COLUMNS, Row
from pmnet.training.step import Step


@dataclass(frozen=True)
class _Header:
    """What a checkpoint holds beside tensors."""

    step: Annotated[int, Ge(0)]
    count: Annotated[int, Ge(0)]
    rows: list[dict[str, Any]]


def save(step: Step, done: int, rows: list[Row], checkpoint: Path) -> None:
    """Write a checkpoint after `done` steps; where that fails, the checkpoint before it stays."""
    save_torch({**step.state_dict(), "step": done, "rows": rows}, checkpoint)


def resume(step: Step, checkpoint: Path) -> tuple[int, list[Row]]:
    """Load a checkpoint into `step`; return the number of steps done and the rows of the log.

    Without a checkpoint nothing is done yet. A damaged checkpoint is left out, with a word about it.
    """
    try:
        state = load_torch(checkpoint, "checkpoint", step.fabric.device)
        header: _Header = read_header(
            _Header, state, checkpoint, "not a checkpoint", "it is left out"
        )
    except FileNotFoundError:
        return 0, []
    except InputError as error:
        return _anew(str(error))
    before = deepcopy(step.state_dict())
    try:
        _refuse_strange(header, step)
        step.load_state_dict(state)
    except Exception as error:  # torch raises many kinds for a state of other shapes
        step.load_state_dict(before)
        return _anew(f"{checkpoint}: not a checkpoint of this training ({error!s:.200})")
    say(f"going on from step {header.step} of {step.options.steps}")
    return header.step, header.rows


def _anew(reason: str) -> tuple[int, list[Row]]:
    say(f"{reason}; training starts anew")
    return 0, []


def _refuse_strange(header: _Header, step: Step) -> None:
    if header.step > step.options.steps:
        raise ValueError(f"it is of step {header.step}")
    if any(set(row) != set(COLUMNS) for row in header.rows):
        raise ValueError("its log has other columns")
