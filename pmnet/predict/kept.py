"""What a folder of predictions keeps, so that a killed command goes on and nothing is made twice.

Pictures are predicted in chunks of a fixed length. The numbers of a chunk are one file, named by a hash of
all that they depend on: the run, the settings, and names, sizes and times of the pictures. Each further file
(mesh, overlay) is noted in a log as soon as it is written.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from filelock import FileLock, Timeout

from pmnet.core.errors import InputError
from pmnet.core.files import remove_partials, replacing
from pmnet.predict.predictions import Predictions

VERSION: Final = 1  # raised when the same settings give other numbers or files
FOLDER: Final = ".predict"  # in the folder of the results
CHUNK: Final = 256  # pictures


def chunks_of(names: Sequence[str]) -> list[tuple[int, Sequence[str]]]:
    """Return numbered chunks of pictures."""
    starts = range(0, len(names), CHUNK)
    return [(index, names[start : start + CHUNK]) for index, start in enumerate(starts)]


def key_of(settings: Any, root: Path, names: Sequence[str], people: Sequence[Any]) -> str:
    """Return the name under which the numbers of a chunk are kept."""
    pictures = []
    for name in names:
        try:
            about = os.stat(os.path.join(root, name))  # a Path takes twice as long
            pictures.append([name, about.st_size, about.st_mtime_ns])
        except (OSError, ValueError):
            pictures.append([name, -1, -1])
    content = json.dumps([settings, pictures, people], sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class KeptResults:
    """The results that lie in a folder already, and those that are added."""

    def __init__(self, out: Path) -> None:
        self.out, self._folder = out, out / FOLDER
        self._log = self._folder / "files.jsonl"
        self._noted = self._read_log()
        self._writing = Lock()

    @staticmethod
    @contextmanager
    def locked(out: Path) -> Iterator["KeptResults"]:
        """Yield the results in `out`, locked; raises InputError where another process writes there."""
        folder = out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{out}: another `pmnet predict` writes there; wait for it") from None
        try:
            yield KeptResults(out)
        finally:
            lock.release()

    def _part(self, key: str) -> Path:
        return self._folder / f"{key}.npz"

    def part(self, key: str) -> tuple[Predictions, list[list[Any]]] | None:
        """Return the kept numbers of a chunk and its problems; None where there are none, or damaged."""
        path = self._part(key)
        try:
            problems = json.loads(path.with_suffix(".json").read_text())
            return Predictions.load(path), problems
        except (OSError, ValueError):  # InputError is one
            return None

    def keep_part(
        self, key: str, predictions: Predictions, problems: Sequence[Sequence[Any]], body: str
    ) -> None:
        """Keep the numbers of a chunk."""
        path = self._part(key)
        with replacing(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps([list(one) for one in problems]))
        predictions.save(path, body)

    def remembered(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returned before under this key, or call it: something that JSON can hold."""
        path = self._folder / f"{key}.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            value = make()
        with replacing(path) as partial:
            partial.write_text(json.dumps(value))
        return value

    def made(self, name: str, key: str, write: Callable[[Path], None]) -> bool:
        """Write the file `name` below the folder, unless it is there already by the same `key`.

        Returns whether it was written.
        """
        path = self.out / name
        if self._noted.get(name) == (key, *_stamp(path)):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        with self._writing:
            self._note(name, (key, *_stamp(path)))
        return True

    def _note(self, name: str, noted: tuple[str, int, int]) -> None:
        self._noted[name] = noted
        with self._log.open("a", encoding="utf-8", errors="surrogateescape") as stream:
            # a new line first: the line before may be cut short, by a kill
            stream.write("\n" + json.dumps([name, *noted]))

    def forget_others(self, keys: set[str]) -> int:
        """Delete what was kept under other keys, and files that were made of it; return how many files.

        A file that somebody else has changed since is left alone.
        """
        for path in [*self._folder.glob("*.npz"), *self._folder.glob("*.json")]:
            remove_partials(path)
            if path.stem not in keys:
                path.unlink()
        stale = [name for name, (key, *_) in self._noted.items() if key.split(":")[0] not in keys]
        ours = [name for name in stale if self._noted.pop(name)[1:] == _stamp(self.out / name)]
        for name in ours:
            (self.out / name).unlink()
        with replacing(self._log) as partial:
            lines = [json.dumps([name, *noted]) for name, noted in self._noted.items()]
            partial.write_text("\n".join([*lines, ""]) or "\n", encoding="utf-8")
        return len(ours)

    def _read_log(self) -> dict[str, tuple[str, int, int]]:
        noted = {}
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}
        for line in lines:
            try:
                name, key, size, time = json.loads(line)
            except (ValueError, TypeError):  # the writer was killed in this line
                continue
            noted[name] = (key, size, time)
        return noted


def _stamp(path: Path) -> tuple[int, int]:
    """Return the size and time of a file; -1 where it is missing."""
    try:
        about = path.stat()
    except OSError:
        return -1, -1
    return about.st_size, about.st_mtime_ns
