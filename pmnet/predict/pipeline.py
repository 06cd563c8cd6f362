"""From pictures to predictions: readers work ahead of the network, and bodies are finished behind it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.core.ahead import MAX_WORKERS, ahead
from pmnet.core.progress import track
from pmnet.images.crops import MAX_WIDTH, cut_square
from pmnet.predict.boxes import PeopleInPicture, whole_picture
from pmnet.predict.camera import focal_lengths, translations
from pmnet.predict.pictures import NoImageError, read_picture
from pmnet.predict.predictions import Predictions
from pmnet.predict.trained import PredictedBodies, TrainedRun

THREAD_PIECE: Final = 8  # pictures that a reader opens at a time
PROCESS_PIECE: Final = (
    128  # at most: a process takes some ms to hand a piece over, however long it is
)
PROCESS_BYTES: Final = 10_000_000  # of a piece, which lies in shared memory
PIECES: Final = 4  # that a process opens at least, where there are few pictures
AHEAD: Final = 2  # pieces per thread that may wait for the network, beside those of a list
LISTS_AHEAD: Final = 4  # lists that a GPU may be asked for before the first of them is done

Item = TypeVar("Item")
Result = TypeVar("Result")


class Problem(NamedTuple):
    """Why a picture, or a person in it (-1: all), has no prediction."""

    image_name: str
    person: int
    reason: str


class SeenPicture(NamedTuple):
    """The name and size of a picture, the people in it that are predicted, and the problems of the others."""

    name: str
    size: tuple[int, int]
    people: PeopleInPicture
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Pictures in a row, and one crop for each person in them."""

    pictures: list[SeenPicture]
    crops: UInt8[Tensor, "p 3 s s"]

    def pin_memory(self) -> "Piece":
        """Return the piece in memory from which a GPU copies while it computes; a DataLoader calls this."""
        return Piece(self.pictures, self.crops.pin_memory())


@dataclass(frozen=True)
class Chunk:
    """The predictions and problems of one list of pictures."""

    index: int
    predictions: Predictions
    problems: list[Problem]


@dataclass(frozen=True)
class PictureSource:
    """Where pictures are, who is in them (None: one person who fills the picture), the side of crops."""

    root: Path
    boxes: Mapping[str, PeopleInPicture] | None
    size_px: int

    def cut(self, names: Sequence[str]) -> Piece:
        """Return the crops of pictures; what cannot be read is a problem, not an error."""
        crops = list[UInt8[Tensor, "3 s s"]]()
        pictures = [self._cut(name, crops) for name in names]
        none = torch.zeros(0, 3, self.size_px, self.size_px, dtype=torch.uint8)
        return Piece(pictures, torch.stack(crops) if crops else none)

    def _cut(self, name: str, crops: list[Tensor]) -> SeenPicture:
        """Return what is seen in one picture; its crops are added."""
        nobody = PeopleInPicture((), np.zeros((0, 4)))
        try:
            picture = read_picture(self.root / name)
        except NoImageError as error:
            return SeenPicture(name, (0, 0), nobody, (Problem(name, -1, str(error)),))
        boxes = self.boxes
        people = whole_picture(picture.size) if boxes is None else boxes.get(name, nobody)
        kept, problems = list[int](), list[Problem]()
        squares = people.squares.tolist()  # numpy takes 10 times as long for four numbers
        for row, (number, square) in enumerate(zip(people.numbers, squares, strict=True)):
            if reason := _outside(square, picture.size):
                problems.append(Problem(name, number, reason))
                continue
            x0, y0, x1, y1 = square
            center = (x0 + x1) / 2, (y0 + y1) / 2
            crop = cut_square(picture, center, x1 - x0, self.size_px)
            crops.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
            kept.append(row)
        numbers = tuple(people.numbers[row] for row in kept)
        seen = PeopleInPicture(numbers, people.squares[kept])
        return SeenPicture(name, picture.size, seen, tuple(problems))


def _outside(square: Sequence[float], size: tuple[int, int]) -> str:
    """Return why a square is no box of a person in a picture of this size; "" where it may be one."""
    x0, y0, x1, y1 = square
    if x1 - x0 > MAX_WIDTH * max(size):
        return f"its box is {x1 - x0:g} px wide in a picture of {size[0]} x {size[1]} px"
    if x1 <= 0 or y1 <= 0 or x0 >= size[0] or y0 >= size[1]:
        rounded = [round(number, 1) for number in square]
        return f"its box {rounded} lies outside of the {size[0]} x {size[1]} px"
    return ""


def predict_chunks(
    run: TrainedRun,
    source: PictureSource,
    chunks: Sequence[tuple[int, Sequence[str]]],
    focal_px: float | None,
    readers: int,
) -> Iterator[Chunk]:
    """Yield the predictions of numbered lists of pictures, one list after the other.

    `readers` open pictures ahead of the network: processes where a GPU computes, else threads. Another
    thread poses the bodies behind it. The batches never reach over the end of a list, so that each list gives
    the same bytes however often the work was interrupted.
    """
    on_gpu = run.device.type == "cuda"
    lengths = [len(own) for _, own in chunks]
    size = piece_of_processes(sum(lengths), readers, source.size_px) if on_gpu else THREAD_PIECE
    pieces = _pieces(chunks, size)
    if on_gpu:
        cut = ahead(source.cut, pieces, readers, "--readers", pinned=True)
    else:
        cut = _ahead_by_threads(source.cut, pieces, readers, max(lengths, default=0) // size)
    ahead_of_first = LISTS_AHEAD if on_gpu else 1
    waiting = deque[Future[Chunk]]()
    with closing(cut), ThreadPoolExecutor(1) as behind:
        try:
            for index, own in chunks:
                mine = islice(cut, ceil(len(own) / size))
                waiting.append(_encode(run, behind, index, mine, focal_px))
                while waiting and (waiting[0].done() or len(waiting) > ahead_of_first):
                    yield waiting.popleft().result()
        except Exception:  # of a reader: what is done is kept
            yield from (chunk.result() for chunk in waiting)
            raise
        yield from (chunk.result() for chunk in waiting)


def piece_of_processes(pictures: int, readers: int, size_px: int) -> int:
    """Return how many pictures a process opens at a time."""
    share = pictures // (PIECES * min(readers, MAX_WORKERS))
    return max(1, min(PROCESS_PIECE, PROCESS_BYTES // (3 * size_px**2), share))


def _pieces(chunks: Sequence[tuple[int, Sequence[str]]], size: int) -> Iterator[list[str]]:
    """Yield the names of each list in pieces, and show the progress."""
    names = track([name for _, own in chunks for name in own], "predicting")
    for _, own in chunks:
        mine = islice(names, len(own))
        while piece := list(islice(mine, size)):
            yield piece


def _encode(
    run: TrainedRun,
    behind: ThreadPoolExecutor,
    index: int,
    pieces: Iterable[Piece],
    focal_px: float | None,
) -> Future[Chunk]:
    """Run the network on a list of pictures; `behind` makes its bodies and predictions."""
    pictures = list[SeenPicture]()
    bodies = [
        behind.submit(run.finish, run.encode(batch)) for batch in _batches(run, pieces, pictures)
    ]

    def finished() -> Chunk:
        problems = [problem for picture in pictures for problem in picture.problems]
        done = [future.result() for future in bodies]
        return Chunk(index, _predictions(run, pictures, done, focal_px), problems)

    return behind.submit(finished)


def _batches(
    run: TrainedRun, pieces: Iterable[Piece], pictures: list[SeenPicture]
) -> Iterator[UInt8[Tensor, "b 3 s s"]]:
    """Yield the crops of pieces in full batches, as soon as they are there; their pictures are added."""
    waiting = list[Tensor]()
    for piece in pieces:
        pictures += piece.pictures
        waiting.append(piece.crops.to(run.device, non_blocking=True))
        while sum(map(len, waiting)) >= run.batch:
            crops = torch.cat(waiting)
            yield crops[: run.batch]
            waiting = [crops[run.batch :]]
    if any(map(len, waiting)):
        yield torch.cat(waiting)


def _ahead_by_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, more: int
) -> Generator[Result, None, None]:
    """Yield `work(item)` in order; threads work a few items, and `more`, ahead of the reader."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= threads * AHEAD + more:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _predictions(
    run: TrainedRun,
    pictures: Sequence[SeenPicture],
    bodies: Sequence[PredictedBodies],
    focal_px: float | None,
) -> Predictions:
    names = [seen.name for seen in pictures for _ in seen.people.numbers]
    if not names:
        return Predictions.cat([])
    sizes = np.array([seen.size for seen in pictures for _ in seen.people.numbers], np.int64)
    squares = np.concatenate([seen.people.squares for seen in pictures])
    params = BodyParams.cat([one.params for one in bodies])

    def column(name: str) -> np.ndarray:
        return np.asarray(torch.cat([getattr(one, name) for one in bodies]).numpy())

    camera, prototype = column("camera"), column("prototype")
    focal = focal_lengths(focal_px, sizes)
    return Predictions(
        image_name=np.array(names),
        person=np.array([n for seen in pictures for n in seen.people.numbers], np.int64),
        box=squares.astype(np.float32),
        pose=params.rotvecs().reshape(-1, 72).numpy(),
        betas=params.betas.numpy(),
        camera=camera,
        focal_length=focal.astype(np.float32),
        translation=translations(camera.astype(float), squares, sizes, focal).astype(np.float32),
        image_size=sizes,
        joints=column("joints"),
        prototype=prototype,
        prototype_probability=column("probability"),
        prototype_share=run.shares.float().numpy()[prototype],
        distance_to_mean_mm=column("distance_to_mean_mm"),
    )
