"""Open edges of a triangle mesh, and two ways to close what they surround."""

from collections.abc import Iterable, Sequence

import numpy as np

# of the squared length of a diagonal, against area
DIAGONAL_PRICE = 1e-3


def open_edges(faces: np.ndarray) -> list[tuple[int, int]]:
    """Return the directed edges that lie on one of the faces (F, 3) only, in the order of faces."""
    edges = dict.fromkeys(
        (int(face[corner]), int(face[(corner + 1) % 3])) for face in faces for corner in range(3)
    )
    return [(a, b) for a, b in edges if (b, a) not in edges]


def chains(edges: Iterable[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the open chains and the loops that directed edges form, as lists of vertices."""
    following = dict(edges)
    ends = set(following.values())
    starts = [start for start in following if start not in ends]
    strings = []
    for start in starts:
        string = [start]
        while string[-1] in following:
            string.append(following.pop(string[-1]))
        strings.append(string)
    loops = []
    while following:
        start = next(iter(following))
        loop = [start]
        while (after := following.pop(loop[-1])) != start:
            loop.append(after)
        loops.append(loop)
    return strings, loops


def ring_faces(outer: Sequence[int], inner: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the faces between a loop of open edges and a loop of as many vertices inside it."""
    faces = []
    for here in range(len(outer)):
        there = (here + 1) % len(outer)
        # a face across an open edge runs along it the other way
        faces.append((outer[there], outer[here], inner[here]))
        faces.append((outer[there], inner[here], inner[there]))
    return faces


def pole_faces(loop: Sequence[int], pole: int) -> list[tuple[int, int, int]]:
    """Return the fan of faces that closes a loop of open edges with one vertex."""
    return [(loop[(here + 1) % len(loop)], loop[here], pole) for here in range(len(loop))]


def flat_faces(chain: Sequence[int], points: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the faces of least area that close a chain of open edges; points (V, 3) in m.

    The classic dynamic programme over the polygon's diagonals; a small price on their squared
    length prefers short ones where areas tie.
    """
    polygon = list(reversed(chain))
    corners = points[polygon]
    size = len(polygon)
    cost = np.zeros((size, size))
    apex = np.zeros((size, size), int)
    for span in range(2, size):
        for first in range(size - span):
            last = first + span
            diagonal = corners[last] - corners[first]
            between = np.arange(first + 1, last)
            normals = np.cross(corners[between] - corners[first], diagonal)
            areas = np.linalg.norm(normals, axis=1) / 2
            totals = cost[first, between] + cost[between, last] + areas
            best = int(totals.argmin())
            apex[first, last] = between[best]
            cost[first, last] = totals[best] + DIAGONAL_PRICE * diagonal @ diagonal
    faces = []
    spans = [(0, size - 1)]
    while spans:
        first, last = spans.pop()
        if last - first >= 2:
            middle = int(apex[first, last])
            faces.append((polygon[first], polygon[middle], polygon[last]))
            spans += [(first, middle), (middle, last)]
    return faces
