"""Work that is done ahead of the one who waits for it, by processes: threads would wait for Python's lock."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from pmnet.core.errors import InputError

MAX_WORKERS: Final = 16  # processes; each has two results in shared memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    option: str,
    pinned: bool = False,
) -> Generator[Result, None, None]:
    """Yield `work(item)` in the order of the items; tensors come through shared memory.

    The processes are forked: they share open files, which cannot be pickled. Raises InputError where `work`
    does, or where a process was ended; `option` is the user's name of `workers`.
    """
    results = DataLoader(
        _Work(work),
        batch_size=None,
        sampler=items,
        num_workers=max(1, min(workers, MAX_WORKERS)),
        multiprocessing_context="fork",
        collate_fn=_as_it_is,
        pin_memory=pinned,
        generator=torch.Generator(),  # otherwise it draws from torch's global generator
    )
    try:
        for result in results:
            if isinstance(result, InputError):
                raise result
            yield result
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or str(error).startswith("Caught "):
            raise  # an error of `work` itself
        raise InputError(
            f"a process that reads images was ended ({str(error).splitlines()[0]}); set {option} to a "
            "smaller number"
        ) from None


def _as_it_is(result: Result) -> Result:
    return result


class _Work(Dataset[Any]):
    """Results as the data set of a DataLoader."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def __getitem__(self, item: Any) -> Any:
        try:
            return self._work(item)
        except InputError as error:  # the loader would add a traceback to its message
            return error
