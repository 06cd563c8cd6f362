"""How bodies are cut into pieces and chunks."""

CHUNK = (
    8192  # bodies that a CPU embeds at a time; the share of a process starts at a multiple of it
)


def slices(start: int, stop: int, size: int) -> list[slice]:
    """Return slices of at most `size` rows from `start` to `stop`; there is one, if only an empty one."""
    starts = range(start, stop, size) or range(start, start + 1)
    return [slice(first, min(first + size, stop)) for first in starts]
