"""Pictures of all kinds are read as a person sees them."""

import numpy as np
import pytest
from PIL import Image

from pmnet.core.errors import InputError
from pmnet.predict.pictures import NoImageError, find_pictures, read_picture

RED = np.zeros((40, 60, 3), np.uint8) + np.array([200, 20, 20], np.uint8)
RED[:20] //= 2  # the upper half is darker


def test_pictures_are_found_in_natural_order_and_results_left_out(tmp_path):
    for name in ("10.png", "9.JPG", "sub/1.webp", "out/overlays/3.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root, names = find_pictures(tmp_path, tmp_path / "out")
    assert (root, names) == (tmp_path, ["9.JPG", "10.png", "sub/1.webp"])
    assert find_pictures(tmp_path / "10.png", tmp_path) == (tmp_path, ["10.png"])


def test_results_among_the_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"is the folder of the pictures; give another, such as"):
        find_pictures(tmp_path, tmp_path / "sub/..")


def test_what_holds_no_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="no pictures below it"):
        find_pictures(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no such picture"):
        find_pictures(tmp_path / "x.png", tmp_path / "out")
    with pytest.raises(InputError, match="ffmpeg"):
        find_pictures(tmp_path / "walk.mp4", tmp_path / "out")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_exif_header_turns_a_picture(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RED).save(tmp_path / "x.png", exif=exif)
    back = {3: 2, 6: -1, 8: 1}[orientation]
    assert np.array_equal(np.asarray(read_picture(tmp_path / "x.png")), np.rot90(RED, back))


def test_grey_cmyk_palette_and_16_bits_become_rgb(tmp_path):
    grey = Image.fromarray(RED).convert("L")
    Image.fromarray((np.asarray(grey).astype(np.uint16) << 8) + 77).save(tmp_path / "deep.png")
    grey.save(tmp_path / "grey.png")
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(RED).convert("P").save(tmp_path / "palette.gif")
    expected = np.asarray(grey.convert("RGB"))
    for name in ("deep.png", "grey.png"):
        assert np.array_equal(np.asarray(read_picture(tmp_path / name)), expected)
    for name in ("cmyk.tif", "palette.gif"):
        apart = np.abs(np.asarray(read_picture(tmp_path / name)).astype(int) - RED)
        assert apart.max() < 60  # colours of a palette


@pytest.mark.parametrize("orientation", [1, 6])
def test_transparent_pixels_show_white(tmp_path, orientation):
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:, :30] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([RED, alpha])).save(tmp_path / "x.png", exif=exif)
    seen = np.rot90(np.asarray(read_picture(tmp_path / "x.png")), 1 if orientation == 6 else 0)
    assert (seen[:, :30] == 255).all() and np.array_equal(seen[:, 30:], RED[:, 30:])


def test_broken_files_say_why(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(NoImageError, match="not a readable"):
        read_picture(tmp_path / "x.png")
