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
from jaxtyping import Float, UInt8
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.core.ahead import ahead
from pmnet.core.progress import track
from pmnet.images.crops import MAX_WIDTH, cut_square
from pmnet.predict.boxes import PeopleInPicture, whole_picture
from pmnet.predict.camera import focal_lengths, translations
from pmnet.predict.pictures import NoImageError, read_picture
from pmnet.predict.predictions import Predictions
from pmnet.predict.trained import PredictedBodies, TrainedRun

THREAD_PIECE: Final = 8  # pictures that a reader opens at a time
PROCESS_PIECE: Final = 32  # a process takes 1 ms to hand a piece over
AHEAD: Final = 2  # pieces per thread that may wait for the network, beside those of a list

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


class Piece(NamedTuple):
    """Pictures in a row, and one crop for each person in them."""

    pictures: list[SeenPicture]
    crops: UInt8[Tensor, "p 3 s s"]


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
        for row, (number, square) in enumerate(zip(people.numbers, people.squares, strict=True)):
            if reason := _outside(square, picture.size):
                problems.append(Problem(name, number, reason))
                continue
            center = (square[:2] + square[2:]) / 2
            width = float(square[2] - square[0])
            crop = cut_square(picture, (float(center[0]), float(center[1])), width, self.size_px)
            crops.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
            kept.append(row)
        numbers = tuple(people.numbers[row] for row in kept)
        seen = PeopleInPicture(numbers, people.squares[kept])
        return SeenPicture(name, picture.size, seen, tuple(problems))


def _outside(square: Float[np.ndarray, "4"], size: tuple[int, int]) -> str:
    """Return why a square is no box of a person in a picture of this size; "" where it may be one."""
    side = square[2] - square[0]
    if side > MAX_WIDTH * max(size):
        return f"its box is {side:g} px wide in a picture of {size[0]} x {size[1]} px"
    apart = (square[2:] <= 0) | (square[:2] >= np.array(size))
    if apart.any():
        return f"its box {square.round(1).tolist()} lies outside of the {size[0]} x {size[1]} px"
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
    size = PROCESS_PIECE if on_gpu else THREAD_PIECE
    pieces = _pieces(chunks, size)
    if on_gpu:
        cut = ahead(source.cut, pieces, readers, "--readers")
    else:
        longest = max((len(own) for _, own in chunks), default=0)
        cut = _ahead_by_threads(source.cut, pieces, readers, longest // size)
    with closing(cut), ThreadPoolExecutor(1) as behind:
        yield from _one_behind(
            _encode(run, behind, index, islice(cut, ceil(len(own) / size)), focal_px)
            for index, own in chunks
        )


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
) -> Callable[[], Chunk]:
    """Run the network on a list of pictures; return what waits for its bodies."""
    pictures = list[SeenPicture]()
    bodies = [
        behind.submit(run.finish, run.encode(batch)) for batch in _batches(run, pieces, pictures)
    ]

    def wait() -> Chunk:
        problems = [problem for picture in pictures for problem in picture.problems]
        done = [future.result() for future in bodies]
        return Chunk(index, _predictions(run, pictures, done, focal_px), problems)

    return wait


def _batches(
    run: TrainedRun, pieces: Iterable[Piece], pictures: list[SeenPicture]
) -> Iterator[UInt8[Tensor, "b 3 s s"]]:
    """Yield the crops of pieces in full batches, as soon as they are there; their pictures are added."""
    waiting = list[Tensor]()
    for piece in pieces:
        pictures += piece.pictures
        waiting.append(_on_device(piece.crops, run.device))
        while sum(map(len, waiting)) >= run.batch:
            crops = torch.cat(waiting)
            yield crops[: run.batch]
            waiting = [crops[run.batch :]]
    if any(map(len, waiting)):
        yield torch.cat(waiting)


def _on_device(crops: UInt8[Tensor, "b 3 s s"], device: torch.device) -> UInt8[Tensor, "b 3 s s"]:
    """Return crops on a device; only from pinned memory the copy does not wait for the batch before."""
    return crops.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else crops


def _one_behind(waiting: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Yield the results of calls, each only after the next one was prepared."""
    last: Callable[[], Result] | None = None
    for call in waiting:
        if last is not None:
            yield last()
        last = call
    if last is not None:
        yield last()


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
