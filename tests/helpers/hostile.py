"""Damage that is drawn from a seed: bytes of files, values of headers and of settings."""

import copy
import random
from collections.abc import Iterator
from typing import Any

MOST_CHANGES = 80
VALUES: list[Any] = [
    *([], [1], {}, {"a": 1}, "x", "", "\0", "nan", None, True),
    *(0, -1, 0.5, 10**9, 2**63, 10**400, float("nan"), float("inf"), -float("inf"), 1e308),
]


def damaged(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` damaged copies: cut short, with other bytes, with runs of other bytes, doubled."""
    draw = random.Random(seed)
    for trial in range(count):
        content = bytearray(whole)
        kind = trial % 5
        if kind == 0:
            del content[draw.randrange(len(whole)) :]
        elif kind == 1:  # headers lie at the start or at the end
            edge = min(600, len(whole))
            for _ in range(draw.randrange(1, 6)):
                content[draw.choice((0, len(whole) - edge)) + draw.randrange(edge)] = (
                    draw.randrange(256)
                )
        elif kind == 2:
            for _ in range(draw.randrange(1, 30)):
                content[draw.randrange(len(whole))] = draw.randrange(256)
        elif kind == 3:
            start = draw.randrange(len(whole))
            content[start : start + 8] = draw.choice(
                (b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7)
            )
        else:
            start = draw.randrange(len(whole))
            content[start:start] = content[start : start + draw.randrange(1, 400)]
        yield bytes(content)


def other_headers(header: Any) -> Iterator[Any]:
    """Yield headers with one value missing or replaced, at any depth, and values that are no header."""
    yield from VALUES
    changes = [(path, value) for path in _paths(header) for value in [*VALUES, KeyError]]
    for path, value in random.Random(0).sample(changes, min(len(changes), MOST_CHANGES)):
        changed = copy.deepcopy(header)
        target = changed
        for step in path[:-1]:
            target = target[step]
        if value is KeyError:
            del target[path[-1]]
        else:
            target[path[-1]] = value
        yield changed


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    steps = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for step in steps:
        yield (step,)
        yield from ((step, *rest) for rest in _paths(value[step]))
