"""Fewer vertices: the edge that moves the surface least is collapsed, again and again.

Garland and Heckbert's quadrics, restricted to half-edge collapses (a vertex slides into one of its
neighbours), so that every remaining vertex keeps its place, skinning weights and shapes.
The mesh is one half of a mirrored whole, open along the midline: the midline stays a line.
"""

import heapq
from collections import Counter
from collections.abc import Mapping

import numpy as np

from pmnet.body.build.collapse import CollapsingMesh


def decimate(
    points: np.ndarray,
    faces: np.ndarray,
    on_midline: np.ndarray,
    regions: np.ndarray,
    budgets: Mapping[int, int],
    pinned: frozenset[int] = frozenset(),
) -> np.ndarray:
    """Return the faces (F', 3) left when each region is thinned to its budget of vertices.

    `points` (V, 3) in m; `on_midline` (V,) marks the vertices on x = 0, which hold the whole open
    border; `regions` (V,) numbers the region of each vertex; `budgets` counts the vertices of a
    region in the mirrored whole (see `mirrored_count`). `pinned` vertices stay. A region keeps more
    than its budget when no collapse is left that does the surface no harm.
    """
    mesh = CollapsingMesh(points, faces, on_midline)
    present = np.unique(faces)
    for region, budget in budgets.items():
        members = present[regions[present] == region]
        surplus = mirrored_count(members, on_midline) - budget
        _thin(mesh, set(members.tolist()) - pinned, surplus)
    return np.array(list(mesh.faces.values()))


def mirrored_count(vertices: np.ndarray, on_midline: np.ndarray) -> int:
    """Return the number of these vertices (n,) and their images; a vertex on the midline counts once."""
    return 2 * len(vertices) - int(on_midline[vertices].sum())


def _thin(mesh: CollapsingMesh, removable: set[int], surplus: int) -> None:
    """Collapse removable vertices, the cheapest first, until the surplus is used up.

    A proposal counts only while both its ends are as they were when it was made; the vertices
    around a collapse propose anew.
    """
    changes: Counter[int] = Counter()
    queue: list[tuple[float, int, int, int, int]] = []

    def propose(vertex: int) -> None:
        for into, cost in mesh.costs(vertex).items():
            heapq.heappush(queue, (cost, vertex, into, changes[vertex], changes[into]))

    for vertex in sorted(removable):
        propose(vertex)
    while surplus > 0 and queue:
        _, vertex, into, *seen = heapq.heappop(queue)
        price = 1 if mesh.on_midline[vertex] else 2
        outdated = seen != [changes[vertex], changes[into]]
        if outdated or price > surplus or not mesh.allows(vertex, into):
            continue
        around = mesh.neighbours(vertex)
        mesh.collapse(vertex, into)
        surplus -= price
        removable.discard(vertex)
        changes.update([vertex, *around])
        for neighbour in (around | mesh.neighbours(into)) & removable:
            propose(neighbour)
