"""Markdown for people to read."""

from collections.abc import Iterable, Sequence


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[str]) -> str:
    """Return a table; columns whose heading is in `texts` are aligned left, numbers right."""
    align = ["---" if name in texts else "---:" for name in head]
    lines = [head, align, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
