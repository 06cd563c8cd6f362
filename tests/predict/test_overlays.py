"""Overlays cover what the camera of the crop covers, and photographs go from end to end."""

import numpy as np
import pytest
import torch
from bodies import facing
from PIL import Image
from tiny_run import options_of, trained_run, write_run

from pmnet.images.render import silhouettes
from pmnet.predict.boxes import square_around
from pmnet.predict.camera import field_camera, focal_lengths, translations
from pmnet.predict.command import predict
from pmnet.predict.overlays import PlacedMesh, drawn_size, meshes_on_picture, silhouette

SIZE = 400, 300  # of a picture, px


def placed(body, box, camera):
    """Return a mesh where a camera of the crop around `box` sees it, and the square."""
    size = np.array([SIZE])
    squares = square_around(np.array([box], float), 1.0)
    focal = focal_lengths(1e6, size)  # so far away that there is no perspective
    moved = translations(field_camera(camera).numpy().astype(float), squares, size, focal)
    vertices = body.vertices(facing()).numpy()[0] + moved[0]
    return PlacedMesh(vertices, float(focal[0])), squares[0].astype(int)


def test_the_overlay_covers_what_the_camera_of_the_crop_covers(body):
    camera = torch.tensor([[0.9, 0.05, 0.2]])
    mesh, (x0, y0, x1, y1) = placed(body, (150, 40, 350, 240), camera)
    mask = silhouette(mesh, body, SIZE, SIZE)
    crop = silhouettes(body, facing(), camera, 200)[0].numpy()
    covered = mask[y0:y1, x0:x1]
    assert crop.sum() > 2000
    assert (covered & crop).sum() / (covered | crop).sum() > 0.99
    assert mask.sum() == covered.sum()


def test_the_nearer_body_hides_the_farther_one(body):
    camera = torch.tensor([[0.9, 0.0, 0.2]])
    near, _ = placed(body, (100, 50, 300, 250), camera)
    far = PlacedMesh(near.vertices + np.array([0, 0, 2.0]), near.focal, (1.0, 0.0, 0.0))
    picture = Image.new("RGB", SIZE, "white")
    for order in ([near, far], [far, near]):
        drawn = np.asarray(meshes_on_picture(picture, order, body)).astype(int)
        inside = silhouette(near, body, SIZE, drawn_size(SIZE))
        red = (drawn[..., 0] > drawn[..., 2] + 60) & inside
        assert red.sum() < 0.02 * inside.sum()


@pytest.mark.parametrize("shift", [(0, 0, 0), (30, 0, 0), (0, 0, -1e4)])
def test_meshes_anywhere_can_be_drawn(body, shift):
    mesh, _ = placed(body, (100, 50, 300, 250), torch.tensor([[0.9, 0.0, 0.2]]))
    moved = PlacedMesh(mesh.vertices + np.array(shift, float), mesh.focal)
    assert silhouette(moved, body, SIZE, drawn_size(SIZE)).shape == drawn_size(SIZE)[::-1]


def test_photographs_run_end_to_end(tmp_path, body):
    data = pytest.importorskip(
        "skimage.data", reason="scikit-image, of the extra dev, has photographs"
    )
    (tmp_path / "in").mkdir()
    for name in ("astronaut", "camera"):  # in colour, and grey
        Image.fromarray(getattr(data, name)()).save(tmp_path / f"in/{name}.png")
    run = trained_run(write_run(tmp_path, body))
    options = options_of(tmp_path / "out", save=["npz", "obj", "glb", "overlay", "sheet"])
    report = predict(tmp_path / "in", run, options)
    assert (len(report.predictions), report.problems) == (2, [])
    assert np.isfinite(report.predictions.translation).all()
    for name in ("astronaut", "camera"):
        with Image.open(tmp_path / f"out/overlays/{name}_0.png") as overlay:
            assert overlay.size == (512 + 2 * 320, 512 + 2 * 26)
