"""Meshes as .obj, and what all files of meshes share: the frame of the viewer."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, replacing

# the camera frame (y down, z away) to that of viewers (y up, z towards them): half a turn about x
TO_VIEWER: Final = np.array([1.0, -1.0, -1.0])


def write_obj(
    path: Path, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> None:
    """Write vertices (m, y up) and triangles as Wavefront OBJ, to a micrometre."""
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices.tolist()]
    lines += ["f {} {} {}".format(*face) for face in (faces + 1).tolist()]  # indices start at 1
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="ascii")


def read_obj(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Return the vertices and triangles of an .obj; normals, textures and materials are left out.

    Raises InputError that names the line where the file is damaged, or where a face is no triangle.
    """
    refuse_special(path)
    vertices, faces = list[list[float]](), list[list[int]]()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    for number, line in enumerate(lines, 1):
        kind, *words = line.split() or [""]
        try:
            if kind == "v":
                vertices.append([float(word) for word in words[:3]])
            elif kind == "f":
                faces.append([int(word.split("/")[0]) - 1 for word in words])
        except ValueError:
            raise InputError(f"{path}: line {number} is {line!r:.80}; expected numbers") from None
        if (kind == "v" and len(vertices[-1]) < 3) or (kind == "f" and len(faces[-1]) != 3):
            raise InputError(f"{path}: line {number} is {line!r:.80}; expected three of them")
    points, triangles = np.array(vertices).reshape(-1, 3), np.array(faces, int).reshape(-1, 3)
    if not len(points) or not len(triangles):
        raise InputError(f"{path}: has no vertices or no faces; expected a mesh in Wavefront OBJ")
    if triangles.min() < 0 or triangles.max() >= len(points):
        raise InputError(f"{path}: a face names a vertex that is not there; copy the file anew")
    return points, triangles
