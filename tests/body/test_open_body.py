"""The open body keeps the laws of SMPL's layout; the checks refuse bodies that do not."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pmnet.body.build.correctives import pose_correctives
from pmnet.body.build.decimate import decimate, mirrored_count
from pmnet.body.build.holes import chains, flat_faces, open_edges, pole_faces, ring_faces
from pmnet.body.build.layout import LANDMARK_IDS, mirror_faces
from pmnet.body.build.motion import Flesh
from pmnet.body.checks import check_body, check_symmetry, check_topology
from pmnet.body.files import OPEN_BODY
from pmnet.body.parts import MIRRORED_JOINTS

SHA256 = "ac452334cb2cc807c3b48929eb4023b2cd8e2897ad39dde88ad92a8fede19a9a"

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def shipped() -> Arrays:
    with np.load(OPEN_BODY, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture
def body(shipped: Arrays) -> Arrays:
    return {key: array.copy() for key, array in shipped.items()}


def test_the_file_is_the_recorded_one() -> None:
    assert hashlib.sha256(OPEN_BODY.read_bytes()).hexdigest() == SHA256


def test_it_keeps_every_law(body: Arrays) -> None:
    check_body(body)
    check_topology(body)
    check_symmetry(body)


def test_counts(body: Arrays) -> None:
    faces = body["f"].astype(int)
    edges = {frozenset(pair) for a, b, c in faces.tolist() for pair in ((a, b), (b, c), (c, a))}
    assert (len(body["v_template"]), len(faces), body["shapedirs"].shape[2]) == (6890, 13776, 10)
    assert len(body["v_template"]) - len(edges) + len(faces) == 2


def test_rows_sum_to_one_in_single_precision(body: Arrays) -> None:
    for key in ("weights", "J_regressor"):
        np.testing.assert_allclose(body[key].sum(1, dtype=float), 1, atol=1e-6)
        assert body[key].min() >= 0


def test_all_of_it_is_symmetric(body: Arrays) -> None:
    mirror, flip = body["sym"], np.array([-1, 1, 1])
    joints = list(MIRRORED_JOINTS)
    np.testing.assert_allclose(body["weights"][mirror][:, joints], body["weights"], atol=1e-6)
    np.testing.assert_allclose(body["J_regressor"][joints][:, mirror], body["J_regressor"])
    shapes = body["shapedirs"]
    np.testing.assert_allclose(shapes[mirror] * flip[:, None], shapes, atol=1e-6)
    faces = {tuple(np.roll(face, -face.argmin())) for face in body["f"].astype(int)}
    mirrored = mirror[body["f"].astype(int)][:, ::-1]
    assert {tuple(np.roll(face, -face.argmin())) for face in mirrored} == faces


def test_landmarks_lie_where_smplx_reads_them(body: Arrays) -> None:
    template, mirror = body["v_template"], body["sym"]
    place = {name: template[number] for name, number in LANDMARK_IDS.items()}
    pairs = [(name, "r" + name[1:]) for name in LANDMARK_IDS if name[0] == "l"]
    pairs += [(name, "R" + name[1:]) for name in LANDMARK_IDS if name[0] == "L"]
    assert len(pairs) == 10
    for left, right in pairs:
        assert mirror[LANDMARK_IDS[left]] == LANDMARK_IDS[right]
        assert place[left][0] > 0
    assert mirror[LANDMARK_IDS["nose"]] == LANDMARK_IDS["nose"]
    assert place["nose"][2] > place["leye"][2] > place["lear"][2]
    assert place["lthumb"][2] > place["lindex"][2] > place["lpinky"][2]
    assert place["LBigToe"][2] > place["LHeel"][2]


def test_what_official_files_may_have_is_welcome(body: Arrays) -> None:
    body["shapedirs"] = np.zeros((6890, 3, 300))
    body["weights"] = body["weights"].astype(np.float64) * 1.0009
    body["kintree_table"][0, 0] = -1
    del body["sym"]
    check_body(body)
    body["kintree_table"] = (body["kintree_table"] % 2**32).astype(np.uint32)
    check_body(body)


def _set(key: str, index: tuple[int, ...], value: float) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[key] = arrays[key].astype(np.result_type(arrays[key].dtype, type(value)))
        arrays[key][index] = value

    return change


def _replace(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[key] = change(arrays[key])

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda arrays: arrays.pop("posedirs"), r"posedirs is missing; expected .* 6890x3x207"),
        (_replace("v_template", lambda a: a[1:]), r"v_template has shape 6889x3; expected 6890x3"),
        (_replace("f", lambda a: a[:, :2]), r"f has shape 13776x2; expected 13776x3"),
        (_replace("shapedirs", lambda a: a[..., 0]), r"shapedirs has shape 6890x3; .* 6890x3xany"),
        (_replace("shapedirs", lambda a: a[..., :9]), r"shapedirs has 9 components; .* 10 or more"),
        (_replace("weights", lambda a: a.astype(object)), r"weights holds object; .* real numbers"),
        (_set("v_template", (7, 1), np.nan), r"v_template holds NaN or infinity"),
        (_set("f", (5, 2), 6890), r"f names the vertices 0 to 6890; expected 0 to 6889"),
        (_set("f", (5, 2), -1), r"f names the vertices -1 to 6889; expected 0 to 6889"),
        (_set("f", (5, 2), 2.5), r"f holds float64; expected integers"),
        (_set("weights", (3, 4), -0.5), r"weights holds -0\.5; expected no negative"),
        (_replace("weights", lambda a: a * 1.01), r"row \d+ of weights sums to 1\.0100"),
        (_replace("J_regressor", lambda a: a * 0.99), r"row \d+ of J_regressor sums to 0\.9900"),
        (_set("kintree_table", (0, 0), 3), r"kintree_table gives the root the parent 3"),
        (_set("kintree_table", (0, 9), 5), r"joint 9 hangs on 5 .* expected .* joint 9 on 6"),
        (_set("kintree_table", (1, 0), 1), r"joint 1 hangs on .* expected .* joint 0 on -1"),
    ],
)
def test_a_broken_body_is_refused(
    body: Arrays, damage: Callable[[Arrays], None], message: str
) -> None:
    damage(body)
    with pytest.raises(ValueError, match=message):
        check_body(body)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_replace("f", lambda f: f[1:]), r"3 edges of f lie on one face only"),
        (
            _replace("f", lambda f: np.vstack([f[:1, ::-1], f[1:]])),
            r"3 edges of f run the same way",
        ),
        (_replace("f", lambda f: np.vstack([f, f[:1]])), r"3 edges of f run the same way"),
        (_replace("f", lambda f: np.vstack([f, [[1, 1, 2]]])), r"names one vertex twice"),
        (_replace("v_template", lambda v: np.vstack([v, v[:1]])), r"has 2 separate pieces"),
        (
            _replace("v_template", lambda v: v[:-1]),
            r"f names the vertices 0 to 6889; expected 0 to 6888",
        ),
    ],
)
def test_a_broken_surface_is_refused(
    body: Arrays, damage: Callable[[Arrays], None], message: str
) -> None:
    damage(body)
    with pytest.raises(ValueError, match=message):
        check_topology(body)


def test_surfaces_that_touch_in_a_point_are_refused() -> None:
    tetrahedron = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    check_topology({"f": tetrahedron, "v_template": np.zeros((4, 3))})
    other = np.array([0, 4, 5, 6])[tetrahedron]
    twins = {"f": np.vstack([tetrahedron, other]), "v_template": np.zeros((7, 3))}
    with pytest.raises(ValueError, match="1 vertices join fans of faces that touch in a point"):
        check_topology(twins)


def test_a_torus_is_refused() -> None:
    size = 5
    loops = [list(range(k * size, (k + 1) * size)) for k in range(size)]
    faces = [face for k in range(size) for face in ring_faces(loops[k], loops[(k + 1) % size])]
    torus = {"f": np.array(faces), "v_template": np.zeros((size**2, 3))}
    with pytest.raises(ValueError, match="Euler characteristic of f is 0; expected 2"):
        check_topology(torus)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda arrays: arrays.pop("sym"), r"sym is missing; expected .* 6890"),
        (_set("sym", (0,), 6890), r"sym names the vertices 1 to 6890"),
        (_replace("sym", lambda m: np.roll(m, 1)), r"sym mirrored twice moves \d+ vertices"),
        (_set("v_template", (0, 0), 0.01), r"v_template differs from its mirror image by 0\.02 m"),
    ],
)
def test_a_lopsided_body_is_refused(
    body: Arrays, damage: Callable[[Arrays], None], message: str
) -> None:
    damage(body)
    with pytest.raises(ValueError, match=message):
        check_symmetry(body)


def _hemisphere(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points, faces and midline of the half x >= 0 of the unit sphere."""
    around = np.arange(segments) * 2 * np.pi / segments
    circle = np.column_stack([np.zeros(segments), np.cos(around), np.sin(around)])
    pole = np.array([1.0, 0.0, 0.0])
    heights = np.arange(rings) * np.pi / 2 / rings
    circles = [np.sin(height) * pole + np.cos(height) * circle for height in heights]
    points = np.concatenate([*circles, pole[None]])
    loops = [list(range(k * segments, (k + 1) * segments)) for k in range(rings)]
    faces = [face for k in range(rings - 1) for face in ring_faces(loops[k], loops[k + 1])]
    faces += pole_faces(loops[-1], len(points) - 1)
    return points, np.array(faces), np.arange(len(points)) < segments


def _volume(points: np.ndarray, faces: np.ndarray) -> float:
    return abs(float(np.linalg.det(points[faces]).sum())) / 6


@pytest.mark.parametrize("budget", [400, 150, 60])
def test_a_thinned_half_sphere_closes_with_its_mirror_image(budget: int) -> None:
    points, faces, on_midline = _hemisphere(16, 16)
    pinned = frozenset({0, 100})
    thinned = decimate(
        points, faces, on_midline, np.zeros(len(points), int), {0: budget}, pinned=pinned
    )
    kept, compact = np.unique(thinned, return_inverse=True)
    assert mirrored_count(kept, on_midline) == budget
    assert pinned <= set(kept.tolist())
    whole, mirror = mirror_faces(compact.reshape(-1, 3), on_midline[kept])
    right = points[kept][~on_midline[kept]] * [-1, 1, 1]
    sphere = {"f": whole, "v_template": np.concatenate([points[kept], right]), "sym": mirror}
    assert len(sphere["v_template"]) == budget
    check_topology(sphere)
    check_symmetry(sphere)
    full, _ = mirror_faces(faces, on_midline)
    before = _volume(np.concatenate([points, points[~on_midline] * [-1, 1, 1]]), full)
    assert 1 - 16 / budget < _volume(sphere["v_template"], whole) / before <= 1


def test_a_region_out_of_budget_leaves_the_others_alone() -> None:
    points, faces, on_midline = _hemisphere(16, 16)
    regions = (points[:, 1] > 0).astype(int)
    before = mirrored_count(np.flatnonzero(regions == 1), on_midline)
    kept = np.unique(decimate(points, faces, on_midline, regions, {1: before - 60}))
    assert mirrored_count(kept[regions[kept] == 1], on_midline) == before - 60
    assert (regions[kept] == 0).sum() == (regions == 0).sum()


def test_a_flat_hole_is_closed_by_its_own_area() -> None:
    # an L of three unit squares, as a chain of open edges from its first to its last corner
    corners = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
    points = np.column_stack([corners, np.zeros(6)])
    faces = flat_faces(range(6), points)
    normals = np.cross(
        points[[b for _, b, _ in faces]] - points[[a for a, _, _ in faces]],
        points[[c for _, _, c in faces]] - points[[a for a, _, _ in faces]],
    )
    assert len(faces) == 4
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1).sum() / 2, 3)
    strings, loops = chains(open_edges(np.array(faces)))
    assert strings == []
    assert [sorted(loop) for loop in loops] == [list(range(6))]


def test_flesh_that_follows_a_joint_wholly_moves_with_it() -> None:
    rng = np.random.default_rng(0)
    offsets, ones = rng.normal(size=(5, 3)), np.ones(5)
    axis = np.array([0.0, 1.0, 0.0])
    rotation = Rotation.from_rotvec([0.4, 0.9, -0.3])
    moved = Flesh(offsets, ones, ones, axis).wanted(rotation)
    np.testing.assert_allclose(moved, rotation.apply(offsets), atol=1e-12)
    still = Flesh(offsets, 0 * ones, 0 * ones, axis).wanted(rotation)
    np.testing.assert_allclose(still, offsets, atol=1e-12)


def test_the_script_makes_the_correctives_of_the_shipped_body(body: Arrays) -> None:
    posedirs, misses = pose_correctives(
        body["v_template"].astype(float),
        body["J"].astype(float),
        body["weights"].astype(float),
        body["sym"],
    )
    np.testing.assert_allclose(posedirs, body["posedirs"], atol=1e-5)
    assert (misses[:, 1] < misses[:, 0]).all()
