"""The file of images: raw comes back exactly, JPEG nearly, in any order; broken files are named."""

import json
from pathlib import Path

import broken
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from pmnet.core.errors import InputError
from pmnet.images.file import Pixels, encode, stored_side, write_pixels

SIZE_PX = 24


def smooth(n: int) -> Tensor:
    """Return images that JPEG keeps well: slopes, of other colours in each."""
    slope = torch.linspace(0, 1, SIZE_PX)
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(n, 3, 2, generator=generator) * 127
    images = colours[..., :1, None] * slope + colours[..., 1:, None] * slope[:, None]
    return images.to(torch.uint8)


def write(path: Path, images: Tensor, encoding: str = "raw", sizes: tuple[int, ...] = ()) -> Path:
    """Write images in batches of these sizes."""
    batches = [encode(batch, encoding, 95) for batch in images.split(list(sizes) or len(images))]
    write_pixels(path, batches, SIZE_PX, encoding)
    return path


@pytest.mark.parametrize("sizes", [(10,), (1, 1, 8), (4, 3, 3)])
def test_raw_images_come_back_exactly(tmp_path, sizes):
    images = torch.randint(256, (10, 3, SIZE_PX, SIZE_PX)).to(torch.uint8)
    pixels = Pixels(write(tmp_path / "x.arrow", images, "raw", sizes))
    assert (len(pixels), pixels.size_px, pixels.encoding) == (10, SIZE_PX, "raw")
    assert torch.equal(pixels.read(torch.arange(10)), images)
    for rows in ([7], [9, 0, 4, 4, 3], [3, 4], []):
        index = torch.tensor(rows, dtype=torch.long)
        assert torch.equal(pixels.read(index), images[index])


@pytest.mark.parametrize("sizes", [(10,), (4, 3, 3)])
def test_jpeg_images_come_back_nearly(tmp_path, sizes):
    images = smooth(10)
    pixels = Pixels(write(tmp_path / "x.arrow", images, "jpeg", sizes))
    assert (len(pixels), pixels.encoding) == (10, "jpeg")
    rows = torch.tensor([9, 0, 4, 4, 3])
    read = pixels.read(rows)
    assert read.dtype == torch.uint8 and read.shape == (5, 3, SIZE_PX, SIZE_PX)
    difference = (read.int() - images[rows].int()).abs()
    assert difference.float().mean() < 3
    assert torch.equal(read[2], read[3])
    nearest = (read[:, None].float() - images[None].float()).square().mean((2, 3, 4)).argmin(1)
    assert torch.equal(nearest, rows)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_no_rows_are_no_images(tmp_path, encoding):
    pixels = Pixels(write(tmp_path / "x.arrow", smooth(3), encoding, (3,)))
    assert pixels.read(torch.arange(0)).shape == (0, 3, SIZE_PX, SIZE_PX)


def test_jpeg_takes_less_room_and_quality_costs(tmp_path):
    images = smooth(4)
    good, bad = (sum(map(len, encode(images, "jpeg", quality))) for quality in (95, 10))
    raw = sum(map(len, encode(images, "raw", 0)))
    assert bad < good < raw == images.numel()


def test_the_bytes_of_raw_images_are_rows_of_rgb():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, :, 0, 1] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    assert encode(image, "raw", 0) == [bytes([0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0])]


def test_what_is_read_can_be_written_to(tmp_path):
    path = write(tmp_path / "x.arrow", smooth(3))
    pixels = Pixels(path)
    before = path.read_bytes()
    first = pixels.read(torch.tensor([0]))
    first += 1
    assert path.read_bytes() == before and not torch.equal(pixels.read(torch.tensor([0])), first)


@pytest.mark.parametrize("context", [1.0, 1.25, 1.3, 2.0])
@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_the_network_sees_the_centre_of_what_is_stored(tmp_path, context, encoding):
    side = stored_side(SIZE_PX, context)
    images = torch.zeros(3, 3, side, side, dtype=torch.uint8)
    margin = (side - SIZE_PX) // 2
    inside = slice(margin, margin + SIZE_PX)
    images[:, :, inside, inside] = smooth(3)
    write_pixels(tmp_path / "x.arrow", [encode(images, encoding, 95)], SIZE_PX, encoding, context)
    pixels = Pixels(tmp_path / "x.arrow")
    assert (pixels.size_px, pixels.stored_px, pixels.context) == (SIZE_PX, side, side / SIZE_PX)
    assert pixels.context == pytest.approx(context, abs=1 / SIZE_PX)
    rows = torch.tensor([2, 0])
    stored, seen = pixels.read_stored(rows), pixels.read(rows)
    assert torch.equal(seen, stored[:, :, inside, inside])
    assert seen.shape[-1] == SIZE_PX
    if encoding == "raw":
        assert torch.equal(stored, images[rows])


def test_the_stored_side_leaves_as_much_on_both_sides():
    assert [stored_side(224, c) for c in (1.0, 1.25, 1.3)] == [224, 280, 292]
    assert all((stored_side(s, 1.37) - s) % 2 == 0 for s in range(20, 70))


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_an_image_that_is_missing_is_black_and_not_present(tmp_path, encoding):
    first, second, third = encode(smooth(3) // 2 + 100, encoding, 95)
    write_pixels(tmp_path / "x.arrow", [[first, None], [second, third]], SIZE_PX, encoding)
    pixels = Pixels(tmp_path / "x.arrow")
    assert pixels.present.tolist() == [True, False, True, True]
    read = pixels.read(torch.arange(4))
    assert (read[1] == 0).all() and (read[[0, 2, 3]] > 50).all()


def test_an_error_while_writing_leaves_no_file(tmp_path):
    def batches():
        yield encode(smooth(2), "raw", 0)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_pixels(tmp_path / "x.arrow", batches(), SIZE_PX, "raw")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_row_that_is_not_there_is_an_error(tmp_path, encoding):
    pixels = Pixels(write(tmp_path / "x.arrow", smooth(3), encoding))
    with pytest.raises(IndexError):
        pixels.read(torch.tensor([3]))


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"x\.arrow: no such file of images; run the images stage"):
        Pixels(tmp_path / "x.arrow")


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_refused(tmp_path, encoding, share):
    path = write(tmp_path / "x.arrow", smooth(10), encoding, (4, 3, 3))
    broken.cut(path, share)
    with pytest.raises(InputError, match=r"x\.arrow: not a file of images, or cut short"):
        Pixels(path)


def test_a_file_without_images_is_refused(tmp_path):
    write_pixels(tmp_path / "x.arrow", [], SIZE_PX, "raw")
    with pytest.raises(InputError, match=r"x\.arrow: holds no images of version 2; run the images"):
        Pixels(tmp_path / "x.arrow")


def test_other_files_are_refused(tmp_path):
    for header in ({}, {"pmnet.pixels": json.dumps({"version": 1})}):
        table = pa.table({"pixels": [b"x"]}).replace_schema_metadata(header)
        with pa.ipc.new_file(str(tmp_path / "x.arrow"), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(InputError, match=r"x\.arrow: holds no images of version 2"):
            Pixels(tmp_path / "x.arrow")
    (tmp_path / "x.arrow").write_text("no images at all")
    with pytest.raises(InputError, match=r"x\.arrow: not a file of images"):
        Pixels(tmp_path / "x.arrow")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: is a folder; expected a file"):
        Pixels(tmp_path / "folder")
