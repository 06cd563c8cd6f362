"""A triangle mesh whose vertices can slide into a neighbour, and the costs and limits of doing so."""

import numpy as np

from pmnet.body.build.holes import open_edges

BORDER_PRICE = 2.0  # of leaving the line of an open border, against leaving the surface
LENGTH_PRICE = 2e-4  # of long edges, so that flat places are thinned evenly
MIN_COSINE = 0.35  # of the angle by which a face may turn
MIN_QUALITY = 0.12  # a face thinner than this may not get thinner; an equilateral one has 1
VALENCE = range(4, 10)  # how many neighbours a vertex may have

Face = tuple[int, int, int]


class CollapsingMesh:
    """The remaining faces, by number, and the quadric error of Garland and Heckbert at each vertex.

    The whole open border lies on the vertices `on_midline` (V,), where x = 0. The mesh is later joined
    there to its mirror image, so that the border has to stay on x = 0.
    """

    def __init__(self, points: np.ndarray, faces: np.ndarray, on_midline: np.ndarray) -> None:
        """Take points (V, 3) in m, faces (F, 3) and `on_midline` (V,)."""
        self.points = points
        self.on_midline = on_midline
        self.faces: dict[int, Face] = {}
        self._faces_at: list[set[int]] = [set() for _ in points]
        self._quadrics = _surface_quadrics(points, faces) + _border_quadrics(points, faces)
        for number, (a, b, c) in enumerate(faces.tolist()):
            self._put(number, (a, b, c))

    def neighbours(self, vertex: int) -> set[int]:
        """Return the vertices that share an edge with a vertex."""
        return {other for face in self._faces_at[vertex] for other in self.faces[face]} - {vertex}

    def costs(self, vertex: int) -> dict[int, float]:
        """Return, for each neighbour, the error of the surface when a vertex slides into it."""
        area = np.mean([np.linalg.norm(self._normal(f)) for f in self._faces_around(vertex)])
        costs = {}
        for into in self.neighbours(vertex):
            place = np.append(self.points[into], 1.0)
            error = place @ (self._quadrics[vertex] + self._quadrics[into]) @ place
            edge = self.points[vertex] - self.points[into]
            costs[into] = float(error + LENGTH_PRICE * area * (edge @ edge))
        return costs

    def allows(self, vertex: int, into: int) -> bool:
        """Return whether sliding a vertex into a neighbour leaves a sound surface."""
        return (
            self._keeps_midline(vertex, into)
            and self._keeps_manifold(vertex, into)
            and self._keeps_faces(vertex, into)
        )

    def collapse(self, vertex: int, into: int) -> None:
        """Slide a vertex into a neighbour; the faces that hold both are removed."""
        for number in list(self._faces_at[vertex]):
            face = self.faces[number]
            for corner in face:
                self._faces_at[corner].discard(number)
            if into in face:
                del self.faces[number]
            else:
                self._put(number, _slid(face, vertex, into))
        self._quadrics[into] += self._quadrics[vertex]

    def _put(self, number: int, face: Face) -> None:
        self.faces[number] = face
        for corner in face:
            self._faces_at[corner].add(number)

    def _faces_around(self, vertex: int) -> list[Face]:
        return [self.faces[number] for number in self._faces_at[vertex]]

    def _normal(self, face: Face) -> np.ndarray:
        a, b, c = self.points[list(face)]
        return np.cross(b - a, c - a)

    def _shared(self, vertex: int, into: int) -> int:
        return len(self._faces_at[vertex] & self._faces_at[into])

    def _keeps_midline(self, vertex: int, into: int) -> bool:
        """Return whether the border stays on x = 0, and no other edge comes to lie there.

        An inner edge between two midline vertices would join four faces after mirroring.
        """
        if self.on_midline[vertex]:
            return bool(self.on_midline[into]) and self._shared(vertex, into) == 1
        strangers = self.neighbours(vertex) - self.neighbours(into) - {into}
        return not (self.on_midline[into] and any(self.on_midline[v] for v in strangers))

    def _keeps_manifold(self, vertex: int, into: int) -> bool:
        """Return whether the link condition holds and no vertex gets too few or many neighbours."""
        around, beside = self.neighbours(vertex), self.neighbours(into)
        common = around & beside
        if len(common) != self._shared(vertex, into):
            return False
        if len((around | beside) - {vertex, into}) not in VALENCE:
            return False
        return all(
            self.on_midline[other] or len(self.neighbours(other)) > VALENCE.start
            for other in common
        )

    def _keeps_faces(self, vertex: int, into: int) -> bool:
        """Return whether no face turns too far or gets too thin."""
        for face in self._faces_around(vertex):
            if into in face:
                continue
            slid = _slid(face, vertex, into)
            before, after = self._normal(face), self._normal(slid)
            size = np.linalg.norm(after)
            if size < 1e-12 or before @ after < MIN_COSINE * np.linalg.norm(before) * size:
                return False
            quality = self._quality(slid)
            if quality < MIN_QUALITY and quality < self._quality(face):
                return False
        return True

    def _quality(self, face: Face) -> float:
        corners = self.points[list(face)]
        edges = corners - np.roll(corners, 1, axis=0)
        return float(2 * np.sqrt(3) * np.linalg.norm(self._normal(face)) / (edges**2).sum())


def _slid(face: Face, vertex: int, into: int) -> Face:
    a, b, c = (into if corner == vertex else corner for corner in face)
    return a, b, c


def _surface_quadrics(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return, for each vertex (V, 4, 4), the squared distance to its faces' planes times area."""
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_areas = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(double_areas, 1e-15)[:, None]
    planes = np.column_stack([normals, -(normals * corners[:, 0]).sum(1)])
    quadrics = np.zeros((len(points), 4, 4))
    weighted = planes[:, :, None] * planes[:, None] * double_areas[:, None, None]
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], weighted)
    return quadrics


def _border_quadrics(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return, for each vertex (V, 4, 4), the cost of leaving the line of an open border.

    Each open edge counts as a plane through it and across x = 0, so the profile keeps its line.
    """
    quadrics = np.zeros((len(points), 4, 4))
    for start, end in open_edges(faces):
        edge = points[end] - points[start]
        length = np.linalg.norm(edge)
        normal = np.cross(edge / length, [1.0, 0.0, 0.0])
        plane = np.append(normal, -normal @ points[start])
        quadric = BORDER_PRICE * length**2 * np.outer(plane, plane)
        quadrics[start] += quadric
        quadrics[end] += quadric
    return quadrics
