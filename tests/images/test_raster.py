"""The z-buffer: one triangle by hand, which face wins, and a brute force over all pixels."""

import pytest
import torch
from torch import Tensor

from pmnet.images.raster import NO_FACE, SIDES, find_hits, gather_corners, rasterize, take

# a right angle at the top left of the pixels, 4 px long; seen from the front with y down
TRIANGLE = [[0.0, 0.0, 1.0], [0.0, 4.0, 1.0], [4.0, 0.0, 1.0]]


def faces_of(*triangles: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Return the corners of one image and the faces, three new corners each."""
    points = torch.tensor(triangles).reshape(1, -1, 3)
    return points, torch.arange(points.shape[1]).view(-1, 3)


def moved(triangle: list[list[float]], x: float = 0, y: float = 0, z: float = 0) -> list:
    return [[a + x, b + y, c + z] for a, b, c in triangle]


def test_one_triangle_by_hand():
    seen = rasterize(*faces_of(TRIANGLE), 5)
    # the centres of the pixels on the diagonal lie on its long side, which belongs to it
    expected = [
        [0, 0, 0, 0, -1],
        [0, 0, 0, -1, -1],
        [0, 0, -1, -1, -1],
        [0, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1],
    ]
    assert seen.tolist() == [expected]


def test_a_face_seen_from_behind_is_not_drawn():
    points, faces = faces_of(TRIANGLE)
    assert (rasterize(points, faces.flip(1), 5) == NO_FACE).all()
    assert (rasterize(points, faces.roll(1, 1), 5) == rasterize(points, faces, 5)).all()


@pytest.mark.parametrize(("first", "second", "winner"), [(2.0, 1.0, 1), (1.0, 2.0, 0)])
def test_the_nearer_face_wins(first, second, winner):
    seen = rasterize(*faces_of(moved(TRIANGLE, z=first), moved(TRIANGLE, z=second)), 5)
    assert (seen[seen != NO_FACE] == winner).all() and (seen != NO_FACE).sum() == 10


@pytest.mark.parametrize("n", [2, 3])
def test_at_the_same_depth_the_lower_face_wins(n):
    seen = rasterize(*faces_of(*[TRIANGLE] * n), 5)
    assert set(seen.unique().tolist()) == {NO_FACE, 0}


def test_faces_that_cross_share_the_pixels_by_their_depth_there():
    # depth grows with x in the first and falls with x in the second; equal in the middle, x = 8
    big = [[0.0, 0.0, 1.0], [0.0, 32.0, 1.0], [32.0, 0.0, 3.0]]
    other = [[0.0, 0.0, 2.0], [0.0, 32.0, 2.0], [32.0, 0.0, 0.0001]]
    seen = rasterize(*faces_of(big, other), 16)[0]
    assert (seen[:16, :7] == 0).all() and (seen[:8, 9:] == 1).all()


def test_each_image_has_its_own_points():
    points, faces = faces_of(TRIANGLE)
    both = torch.cat([points, points + torch.tensor([1.0, 0.0, 0.0])])
    seen = rasterize(both, faces, 6)
    assert torch.equal(seen[1, :, 1:], seen[0, :, :-1]) and (seen[1, :, 0] == NO_FACE).all()


def test_what_lies_outside_of_the_image_is_cut():
    for x, y in ((-10.0, 0.0), (0.0, 10.0), (7.0, 7.0)):
        assert (rasterize(*faces_of(moved(TRIANGLE, x, y)), 5) == NO_FACE).all()
    seen = rasterize(*faces_of(moved(TRIANGLE, -2.0, -1.0)), 5)[0]
    assert (seen != NO_FACE).sum() == 1 and seen[0, 0] == 0


def test_a_face_too_small_for_any_pixel_centre_is_not_seen():
    tiny = [[0.6, 0.6, 1.0], [0.6, 0.9, 1.0], [0.9, 0.6, 1.0]]
    assert (rasterize(*faces_of(tiny), 2) == NO_FACE).all()


def test_a_face_larger_than_the_largest_square_is_an_error():
    huge = [[0.0, 0.0, 1.0], [0.0, 2000.0, 1.0], [2000.0, 0.0, 1.0]]
    with pytest.raises(ValueError, match=f"a face is over {SIDES[-1]} px wide; render smaller"):
        rasterize(*faces_of(huge), 520)
    assert (rasterize(*faces_of(huge), 512) == 0).all()


def brute_force(points: Tensor, faces: Tensor, size_px: int) -> tuple[Tensor, Tensor]:
    """Return the nearest face of every pixel in float64, and where rounding could not change it."""
    corners = points.double()[faces]
    x, y, z = corners.unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    centre = torch.arange(size_px).double() + 0.5
    py, px = torch.meshgrid(centre, centre, indexing="ij")

    def weight(i: int, j: int) -> Tensor:
        dx, dy = (x[:, j] - x[:, i])[:, None, None], (y[:, j] - y[:, i])[:, None, None]
        side = dx * (py - y[:, i, None, None]) - dy * (px - x[:, i, None, None])
        return side / area[:, None, None]

    weights = torch.stack([weight(1, 2), weight(2, 0), weight(0, 1)], -1)
    front = (area < 0)[:, None, None]
    inside = (weights >= 0).all(-1) & front
    depth = torch.where(inside, (weights * z[:, None, None]).sum(-1), torch.inf)
    on_an_edge = ((weights.abs() < 1e-4).any(-1) & (weights > -1e-4).all(-1) & front).any(0)
    nearest = depth.sort(0).values[:2]
    clear = ~on_an_edge & ~(nearest[1] - nearest[0] < 1e-4)
    return torch.where(inside.any(0), depth.argmin(0), NO_FACE), clear


@pytest.mark.parametrize("size_px", [16, 50])
@pytest.mark.parametrize("spread_px", [3.0, 12.0, 60.0])
def test_random_triangles_are_those_of_brute_force(size_px, spread_px):
    generator = torch.Generator().manual_seed(int(size_px + spread_px))
    middles = torch.rand(2, 80, 1, 3, generator=generator) * torch.tensor([1.2, 1.2, 1.0])
    middles = middles * torch.tensor([size_px, size_px, 3.0]) + torch.tensor([-3.0, -3.0, 0.5])
    spread = torch.tensor([spread_px, spread_px, 0.2])
    corners = middles + (torch.rand(2, 80, 3, 3, generator=generator) - 0.5) * spread
    points, faces = corners.flatten(1, 2), torch.arange(240).view(-1, 3)
    seen = rasterize(points, faces, size_px)
    for image in range(2):
        expected, clear = brute_force(points[image], faces, size_px)
        assert clear.float().mean() > 0.9
        assert torch.equal(seen[image][clear], expected[clear])
        assert (expected != NO_FACE).any()


def test_hits_tell_where_in_a_face_a_pixel_looks():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 30, 3, generator=generator) * torch.tensor([20.0, 20.0, 1.0]) + 0.5
    faces = torch.arange(30).view(-1, 3)
    seen = rasterize(points, faces, 20)
    hits = find_hits(seen, points, faces)
    assert len(hits.face) == (seen != NO_FACE).sum() > 100
    assert torch.equal(seen[hits.image, hits.row, hits.column], hits.face)
    corners = gather_corners(points, faces)[hits.image, hits.face]
    assert torch.equal(take(points, hits.image, faces[hits.face]), corners)
    there = (corners * hits.barycentric[..., None]).sum(1)
    centres = torch.stack([hits.column, hits.row], 1) + 0.5
    torch.testing.assert_close(there[:, :2], centres, atol=1e-4, rtol=0)
    assert (hits.barycentric > -1e-4).all()


def test_where_nothing_is_seen_there_are_no_hits():
    points, faces = faces_of(moved(TRIANGLE, 100.0))
    hits = find_hits(rasterize(points, faces, 4), points, faces)
    assert len(hits.face) == 0 and hits.barycentric.shape == (0, 3)
