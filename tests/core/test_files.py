"""Files are there whole or not at all; what cannot be read or written is said in one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special, refuse_unwritable, remove_partials, replacing


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


WRITER = """
import sys, time
from pathlib import Path
from pmnet.core.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_left_is_deleted_and_what_another_writes_is_not(tmp_path):
    path = tmp_path / "a[1].txt"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        half = tmp_path / f".a[1].txt.{writer.pid}.partial"
        remove_partials(path)
        with replacing(path) as partial:
            partial.write_text("whole")
        assert half.read_text() == "half"
        writer.kill()
        writer.wait()
    assert half.exists()
    with replacing(path) as partial:
        partial.write_text("after")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("profile", [".", "open", "paper"])
def test_dvc_does_not_hash_what_is_half_written(profile):
    with Repo(str(Path(__file__).parents[2] / profile)) as repo:
        folder = Path(repo.root_dir) / "data" / "samples" / "train"
        ignored = (repo.dvcignore.is_ignored_file(str(folder / name)) for name in (
            ".open_train.arrow.123.partial", "open_train.arrow",
        ))  # fmt: skip
        assert list(ignored) == [True, False]


def bad_outputs(folder: Path) -> dict[str, Path]:
    (folder / "folder").mkdir()
    (folder / "file").write_text("x")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return {
        "a folder of this name is in the way": folder / "folder",
        "a file lies where a folder is needed": folder / "file" / "below" / "x",
        "give a shorter name": folder / ("n" * 300),
        "loop/x: cannot be written": folder / "loop" / "x",
        "is a pipe; expected a file": folder / "pipe",
        "cannot be written": Path("/proc/x/y"),
        "is a device; expected a file": Path("/dev/null"),
    }


@pytest.mark.parametrize("place", range(7))
def test_an_output_that_cannot_be_written_is_refused(tmp_path, place):
    said, path = list(bad_outputs(tmp_path).items())[place]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=said):
        refuse_unwritable(path)
    with pytest.raises(InputError, match=said), replacing(path) as partial:
        partial.write_text("x")
    assert sorted(tmp_path.rglob("*")) == before and Path("/dev/null").is_char_device()


def test_a_disk_that_may_not_be_written_is_one_line(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "new"))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(InputError, match=r"Read-only file system.*a disk that can be written"):
        replacing(tmp_path / "new" / "x").__enter__()


def test_a_good_output_leaves_nothing_behind(tmp_path):
    refuse_unwritable(tmp_path / "new" / "folder" / "x.txt")
    refuse_unwritable(tmp_path / "new" / "folder", folder=True)
    refuse_unwritable(tmp_path, folder=True)
    assert not list(tmp_path.iterdir())


def test_files_and_missing_files_are_not_special(tmp_path):
    (tmp_path / "a").touch()
    for name in ("a", "missing", "a/below"):
        refuse_special(tmp_path / name)


def test_an_error_of_another_file_stays(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), replacing(tmp_path / "x"):
        (tmp_path / "other").read_text()
