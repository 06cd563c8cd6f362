"""Samples: what is saved is loaded bit for bit, and what is broken is named."""

import json
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.data.samples import FLAGS, NUMBERS, TEXTS, About, Samples

ABOUT = About(dataset="toy", joints="smpl24", pixels="render", body="abc")
COLUMNS = (*NUMBERS, *FLAGS, *TEXTS)


def toy(n: int, seed: int = 0, about: About = ABOUT, **changed: Any) -> Samples:
    """Return samples of random numbers; the first has no camera, as where it is unknown."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(n, *shape, generator=generator)

    columns: dict[str, Any] = {
        "global_orient": normal(3),
        "body_pose": normal(69),
        "betas": normal(10),
        "keypoints_2d": normal(24, 3),
        "keypoints_3d": normal(24, 4),
        "camera": normal(3).index_fill_(0, torch.arange(min(n, 1)), torch.nan),
        "center": normal(2),
        "scale": normal().abs() + 1,
        "has_smpl": normal() > 0,
        "has_keypoints_3d": normal() > 0,
        "image_name": [f"images/{seed}_{row} ä.jpg" for row in range(n)],
        "subject": [f"S{row % 3}" for row in range(n)],
        "gender": [["", "male", "female", "neutral"][row % 4] for row in range(n)],
        "sequence": [f"clip {row // 2}" for row in range(n)],
    }
    return Samples(about, **{**columns, **changed})


def bits(samples: Samples) -> dict[str, Any]:
    """Return the columns as bytes, so that NaN equals NaN and -0 does not equal 0."""
    numbers = {name: getattr(samples, name).numpy() for name in (*NUMBERS, *FLAGS)}
    shapes = {name: (array.shape, array.dtype, array.tobytes()) for name, array in numbers.items()}
    return shapes | {name: getattr(samples, name) for name in TEXTS} | {"about": samples.about}


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "folder" / "toy.arrow"
    toy(7).save(path)
    return path


@pytest.mark.parametrize("n", [0, 1, 7])
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path, n):
    samples = toy(n, center=torch.full((n, 2), -0.0))
    samples.save(tmp_path / "toy.arrow")
    loaded = Samples.load(tmp_path / "toy.arrow")
    assert bits(loaded) == bits(samples)
    assert len(loaded) == n
    loaded.save(tmp_path / "again.arrow")
    assert (tmp_path / "again.arrow").read_bytes() == (tmp_path / "toy.arrow").read_bytes()


def test_numbers_stay_in_the_mapped_file(file):
    loaded = Samples.load(file)
    content = file.read_bytes()
    for name in NUMBERS:
        stored = getattr(toy(7), name).numpy().tobytes()
        assert content.count(stored) == 1
        with file.open("r+b") as stream:
            stream.seek(content.index(stored))
            stream.write(np.full(len(stored) // 4, 0.25, np.float32).tobytes())
        assert (getattr(loaded, name) == 0.25).all(), name


def test_pandas_and_pyarrow_read_it_and_it_says_its_units(file):
    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    assert tuple(table.column_names) == COLUMNS
    frame = table.to_pandas()
    samples = toy(7)
    assert isinstance(frame, pd.DataFrame) and len(frame) == 7
    np.testing.assert_array_equal(np.stack(frame["betas"]), samples.betas)
    np.testing.assert_array_equal(frame["scale"], samples.scale)
    assert list(frame["image_name"]) == samples.image_name
    assert frame["has_smpl"].tolist() == samples.has_smpl.tolist()
    feather = pd.read_feather(file)
    pd.testing.assert_frame_equal(feather, frame)
    for field in table.schema:
        assert not field.nullable and field.metadata[b"meaning"]
    units = {name: table.schema.field(name).metadata[b"meaning"].decode() for name in NUMBERS}
    assert all("rad" in units[name] for name in ("global_orient", "body_pose"))
    assert "px" in units["center"] and "200 px" in units["scale"] and " m," in units["keypoints_3d"]
    assert "camera frame" in units["global_orient"] and "deviations" in units["betas"]
    header = json.loads(table.schema.metadata[b"pmnet.samples"])
    assert header == {"version": 2} | {k: v for k, v in vars(ABOUT).items() if k != "turned"}


def test_poses_come_as_matrices():
    samples = toy(4)
    params = samples.body_params()
    joints = torch.cat([samples.global_orient, samples.body_pose], 1).view(4, 24, 3)
    torch.testing.assert_close(params.rotmats, rotvec_to_rotmat(joints))
    assert torch.equal(params.betas, samples.betas)
    for rows in (slice(1, 3), torch.tensor([3, 0])):
        some = samples.body_params(rows)
        assert torch.equal(some.rotmats, params.rotmats[rows])


def test_keypoints_in_the_crop_by_hand():
    keypoints = torch.zeros(1, 24, 3)
    keypoints[0, 5] = torch.tensor([300.0, 100.0, 1.0])
    samples = toy(
        1,
        keypoints_2d=keypoints,
        center=torch.tensor([[200.0, 100.0]]),
        scale=torch.tensor([2.0]),
    )
    crop = samples.keypoints_in_crop()
    assert crop.shape == (1, 24, 2)
    assert crop[0, 5].tolist() == [0.5, 0.0]  # 100 px right of the centre of a box of 400 px
    assert crop[0, 0].tolist() == [-1.0, -0.5]


def test_rows_are_selected_in_their_order():
    samples = toy(7)
    rows = torch.tensor([5, 0, 5])
    some = samples.select(rows)
    assert len(some) == 3 and some.about == samples.about
    for name in (*NUMBERS, *FLAGS):
        assert torch.equal(getattr(some, name).isnan(), getattr(samples, name)[rows].isnan())
        pairs = getattr(some, name).nan_to_num(), getattr(samples, name)[rows].nan_to_num()
        assert torch.equal(*pairs)
    assert some.image_name == [samples.image_name[row] for row in (5, 0, 5)]
    assert len(samples.select(torch.empty(0, dtype=torch.long))) == 0


def test_parts_are_joined_in_their_order():
    parts = [toy(2, 0), toy(3, 1, About("other", "smpl24", "render", "abc"))]
    whole = Samples.cat(parts)
    assert whole.about == ABOUT and len(whole) == 5
    assert bits(whole.select(torch.arange(2))) == bits(parts[0])
    second = whole.select(torch.arange(2, 5))
    assert second.image_name == parts[1].image_name
    assert torch.equal(second.keypoints_3d, parts[1].keypoints_3d)
    assert bits(Samples.cat(parts[:1])) == bits(parts[0])


@pytest.mark.parametrize("other", [("smpl24", "xyz"), ("j24", "abc")])
def test_parts_of_other_bodies_or_joints_are_not_joined(other):
    joints, body = other
    stranger = toy(1, 1, About("stranger", joints, "render", body))
    with pytest.raises(InputError, match="toy and stranger have different body models or joint"):
        Samples.cat([toy(2), stranger])


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "camera"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_and_its_row_named(tmp_path, name, value):
    samples = toy(6)
    column = getattr(samples, name).clone()
    column[4].view(-1)[-1] = column[5].view(-1)[0] = value
    toy(6, **{name: column}).save(tmp_path / "toy.arrow")
    message = (
        rf"toy\.arrow: {name} of row 4 \(images/0_4 ä\.jpg\) is NaN or infinite, as are 2 of 6 rows"
    )
    with pytest.raises(InputError, match=message):
        Samples.load(tmp_path / "toy.arrow")


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"none\.arrow: no such file of samples; run the ingest"):
        Samples.load(tmp_path / "none.arrow")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(file, share):
    broken.cut(file, share)
    with pytest.raises(InputError, match=r"toy\.arrow: not a file of samples, or cut short"):
        Samples.load(file)


def written(path: Path, table: pa.Table) -> Path:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def test_foreign_files_are_refused(file, tmp_path):
    (tmp_path / "text.arrow").write_text("image_name,betas\n" * 1000)
    with pytest.raises(InputError, match=r"text\.arrow: not a file of samples"):
        Samples.load(tmp_path / "text.arrow")
    with pytest.raises(InputError, match=r"folder: is a folder; expected a file"):
        Samples.load(file.parent)
    table = pa.table({"x": [1, 2]})
    with pytest.raises(InputError, match=r"not samples of version 2 .*; ingest the data set again"):
        Samples.load(written(tmp_path / "foreign.arrow", table))
    table = table.replace_schema_metadata({"pmnet.samples": "no json"})
    with pytest.raises(InputError, match=r"foreign\.arrow: not samples of version 2"):
        Samples.load(written(tmp_path / "foreign.arrow", table))


def test_another_version_is_refused(file, tmp_path):
    table = pa.ipc.open_file(str(file)).read_all()
    header = json.dumps({"version": 3, **vars(ABOUT)})
    other = written(tmp_path / "v2.arrow", table.replace_schema_metadata({"pmnet.samples": header}))
    with pytest.raises(InputError, match=r"v2\.arrow: not samples of version 2"):
        Samples.load(other)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_or_mistyped_column_is_named(file, tmp_path, name):
    table = pa.ipc.open_file(str(file)).read_all()
    place = table.column_names.index(name)
    for other in (
        table.remove_column(place),
        table.set_column(place, pa.field(name, pa.int8()), pa.array([0] * 7, pa.int8())),
    ):
        with pytest.raises(InputError, match=f"column {name} must be of type"):
            Samples.load(written(tmp_path / "other.arrow", other))


def test_a_file_of_many_batches_is_read_whole(file, tmp_path):
    table = pa.ipc.open_file(str(file)).read_all()
    with pa.ipc.new_file(str(tmp_path / "many.arrow"), table.schema) as writer:
        for batch in table.to_batches(max_chunksize=3):
            writer.write_batch(batch)
    assert bits(Samples.load(tmp_path / "many.arrow")) == bits(Samples.load(file))
