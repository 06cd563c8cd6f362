"""`replacing`: a file is there whole or not at all."""

import errno

import pytest

from pmnet.core.errors import InputError
from pmnet.core.files import replacing


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "result.txt"
    with replacing(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.parent == path.parent  # the same file system: replacing is one step
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "result.txt"
    with pytest.raises(error), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("before")
    told = r"result.txt: cannot be written .*make room"
    with pytest.raises(InputError, match=told), replacing(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("before")
    with pytest.raises(ValueError, match="no"), replacing(path) as partial:
        partial.write_text("half")
        raise ValueError("no")
    assert path.read_text() == "before"
    with replacing(path) as partial:
        partial.write_text("after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "before"
