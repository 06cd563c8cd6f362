"""Fits from several sources: which is taken for each row, and which are rejected."""

from pathlib import Path

import numpy as np
import pytest
from layouts_wild import EFT, boxes, eft_records, image_names, part, write_fits
from people import draw_people, open_body

from pmnet.core.errors import InputError
from pmnet.datasets._shared.fits import (
    Fits,
    FitSource,
    Reject,
    read_eft,
    reprojection,
    with_fits,
)
from pmnet.datasets._shared.joins import nearest
from pmnet.datasets._shared.rows import Rows

N = 6
PEOPLE = draw_people(N)
FILE = Path("a.npz")
ALL = Reject(0.0, 0.0)


def rows(**changed) -> Rows:
    center, scale = boxes(PEOPLE)
    columns = {
        "image_name": image_names("coco", N),
        "center": center,
        "scale": scale,
        "keypoints_2d": part("coco", PEOPLE),
    }
    return Rows(**(columns | changed))


def fits_of_kind(folder: Path, kind: str) -> FitSource:
    return FitSource(kind, write_fits(folder, PEOPLE, "coco", kind).relative_to(folder))


def merge(folder, sources, reject=ALL, table=None):
    return with_fits(table or rows(), sources, reject, folder, FILE, open_body())


def own(poses, betas, valid=None) -> Rows:
    return rows(poses=poses, betas=betas, has_smpl=valid)


def test_the_first_valid_fit_is_taken(tmp_path):
    own_fits = FitSource("own", None)
    table = own(np.full((N, 72), 0.5), np.ones((N, 10)), np.arange(N) < 2)
    found, counts = merge(tmp_path, [own_fits, fits_of_kind(tmp_path, "spin")], table=table)
    assert (found.poses[:2] == 0.5).all()
    np.testing.assert_allclose(found.poses[2:], PEOPLE.poses[2:], atol=1e-6)
    assert counts == {
        "fits of own fits": 2,
        "fits of data/spin_fits/coco.npz": 4,
        "without a fit": 0,
    }


def test_wild_shapes_are_rejected_and_the_next_source_tried(tmp_path):
    betas = PEOPLE.betas.copy()
    betas[3, 1] = -3.5
    table = own(PEOPLE.poses, betas)
    sources = [FitSource("own", None), fits_of_kind(tmp_path, "static")]
    found, counts = merge(tmp_path, sources, Reject(3.0, 0.0), table)
    np.testing.assert_allclose(found.betas[3], PEOPLE.betas[3], atol=1e-6)
    assert counts["rejected: |beta| > 3 in own fits"] == 1
    assert counts["fits of data/static_fits/coco_fits.npy"] == 1
    alone, counts = merge(tmp_path, sources[:1], Reject(3.0, 0.0), own(PEOPLE.poses, betas))
    assert counts["without a fit"] == 1 and not alone.has_smpl[3]


def test_fits_to_other_rows_lie_off_the_joints(tmp_path):
    right = Fits(PEOPLE.poses, PEOPLE.betas, np.ones(N, bool))
    assert reprojection(right, rows(), open_body()).max() < 0.05
    order = np.roll(np.arange(N), 1)
    wrong = Fits(PEOPLE.poses[order], PEOPLE.betas[order], np.ones(N, bool))
    far = reprojection(wrong, rows(), open_body())
    assert far.max() > 0.1
    table = own(PEOPLE.poses[order], PEOPLE.betas[order])
    found, counts = merge(tmp_path, [FitSource("own", None)], Reject(0.0, 0.1), table)
    assert counts["rejected: reprojection > 0.1 in own fits"] == (far > 0.1).sum()
    assert (found.has_smpl == (far <= 0.1)).all()


def test_upside_down_fits_lie_off_the_joints():
    poses = PEOPLE.poses.copy()
    poses[:, :3] = 0  # upright in SMPL's own frame: head down in the camera's
    far = reprojection(Fits(poses, PEOPLE.betas, np.ones(N, bool)), rows(), open_body())
    assert np.median(far) > 0.1


def test_reprojection_is_unknown_without_joints_or_fit():
    seen = part("coco", PEOPLE)
    seen[0, :, 2] = 0
    seen[1, 3] = [np.nan, np.nan, 0]
    poses = np.where(np.arange(N)[:, None] == 2, np.nan, 0.0 * PEOPLE.poses)
    fits = Fits(poses, PEOPLE.betas, np.arange(N) != 2)
    far = reprojection(fits, rows(keypoints_2d=seen), open_body())
    assert far[0] == far[2] == 0 and (far[[1, 3, 4, 5]] > 0).all()
    assert not reprojection(fits, rows(keypoints_2d=None), open_body()).any()


# --- EFT: by the name of the image and the nearest centre


def test_eft_fits_find_their_rows(tmp_path):
    path = write_fits(tmp_path, PEOPLE, "coco", "eft")
    order = np.array([4, 0, 2])
    fits = read_eft(path, rows().select(order))
    assert fits.valid.all()
    np.testing.assert_allclose(fits.betas, PEOPLE.betas[order], atol=1e-12)


def test_eft_fits_of_no_row_are_refused(tmp_path):
    path = write_fits(tmp_path, PEOPLE, "coco", "eft")
    with pytest.raises(InputError, match=r"0 of 6 fits and rows match; .*\.jpg.*other\.jpg"):
        read_eft(path, rows(image_name=["other.jpg"] * N))
    assert path.name == EFT["coco"] and len(eft_records(PEOPLE, "coco")) == N


def crowd(n: int, seed: int) -> tuple[Rows, list[str], np.ndarray]:
    """Return rows and fits of a few images with many persons each, at whole px so that ties occur."""
    draw = np.random.default_rng(seed)
    names = [f"folder/{image}.jpg" for image in draw.integers(0, 5, n)]
    table = Rows(names, draw.integers(0, 40, (n, 2)).astype(float), np.full(n, 0.15))
    return table, [f"{image}.jpg" for image in draw.integers(0, 6, n)], draw.integers(0, 40, (n, 2))


def greedy(table: Rows, names: list[str], centers: np.ndarray) -> set[tuple[int, int]]:
    """Return the pairs that choosing one by one gives, in the order of distance."""
    pairs = []
    for row, image in enumerate(table.image_name):
        for fit, name in enumerate(names):
            far = np.linalg.norm(centers[fit] - table.center[row])
            if Path(str(image)).name == name and far <= table.scale[row] * 100:
                pairs.append((far, row, fit))
    kept: set[tuple[int, int]] = set()
    for _, row, fit in sorted(pairs):
        if row not in {pair[0] for pair in kept} and fit not in {pair[1] for pair in kept}:
            kept.add((row, fit))
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_those_of_choosing_one_by_one(seed):
    table, names, centers = crowd(80, seed)
    row, fit = nearest(table, names, centers.astype(float))
    found = set(zip(row.tolist(), fit.tolist(), strict=True))
    assert found == greedy(table, names, centers) and len(found) == len(row) > 20


def test_no_fits_at_all():
    row, fit = nearest(rows(), [], np.zeros((0, 2)))
    assert len(row) == len(fit) == 0
