"""`pmnet predict`: pictures in, predictions and their files out."""

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.files import refuse_unwritable, replacing
from pmnet.core.progress import say, track
from pmnet.predict.boxes import PeopleInPicture, read_boxes, square_around
from pmnet.predict.detection import PREFIX, PersonDetector
from pmnet.predict.kept import VERSION, KeptResults, chunks_of, key_of
from pmnet.predict.options import WHOLE, PredictOptions
from pmnet.predict.outputs import Outputs
from pmnet.predict.overlays import caption_of
from pmnet.predict.pictures import find_pictures
from pmnet.predict.pipeline import PictureSource, Problem, predict_chunks
from pmnet.predict.predictions import Predictions
from pmnet.predict.trained import TrainedRun

NAMED: Final = 5  # the rarest people, and pictures without people, that are printed
ERRORS: Final = "errors.csv"


@dataclass(frozen=True)
class PredictReport:
    """What `predict` did: predictions, problems, and how many pictures were predicted anew."""

    predictions: Predictions
    problems: list[Problem]
    anew: int

    def lines(self, out: Path) -> list[str]:
        """Return what is printed: the rarest people, the broken pictures, the counts."""
        far = np.argsort(-self.predictions.distance_to_mean_mm, kind="stable")[:NAMED].tolist()
        lines = ["the rarest poses; trust them less:"] if far else []
        for row in far:
            name, person = self.predictions.image_name[row], self.predictions.person[row]
            lines.append(f"  {name}, person {person}: {caption_of(self.predictions, row)}")
        if self.problems:
            lines.append(f"{len(self.problems)} errors ({out / ERRORS}):")
        for problem in self.problems:
            who = f", person {problem.person}" if problem.person >= 0 else ""
            lines.append(f"  {problem.image_name}{who}: {problem.reason}")
        count, pictures = len(self.predictions), len(set(self.predictions.image_name.tolist()))
        lines.append(f"{count} people in {pictures} pictures -> {out}")
        return lines


def predict(source: Path, run: TrainedRun, options: PredictOptions) -> PredictReport:
    """Predict the people in a picture or in a folder of pictures, and write what `options.save` names.

    What lies in `options.out` by the same run, settings and pictures is kept. Raises InputError for settings
    and files that belong to all pictures; what is wrong with one picture is a problem of the report.
    """
    out = options.out
    if "amass" in options.save and options.fps is None:
        raise InputError("--save amass writes a motion: give --fps, the pictures per second")
    refuse_unwritable(out, folder=True)
    root, names = find_pictures(source, out)
    with KeptResults.locked(out) as kept:
        names, boxes, missing, remembered = _people(root, names, run, options, kept)
        finder = PictureSource(root, boxes, run.files.size_px)
        keys, predictions, problems, anew = _numbers(finder, names, run, options, kept)
        problems = [*missing, *problems]
        outputs = Outputs(kept, root, names, run.body, run.memory, options)
        for key, part in track(list(zip(keys, predictions, strict=True)), "writing files"):
            outputs.write_each(part, key)
        whole = Predictions.cat(predictions)
        together = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:24]
        outputs.write_all(whole, {name: frame for frame, name in enumerate(names)}, together)
        _write_problems(problems, out / ERRORS)
        if stale := kept.forget_others({*keys, together, *remembered}):
            say(f"{out}: deleted {stale} files of other settings or pictures")
    return PredictReport(whole, problems, anew)


def _numbers(
    finder: PictureSource,
    names: Sequence[str],
    run: TrainedRun,
    options: PredictOptions,
    kept: KeptResults,
) -> tuple[list[str], list[Predictions], list[Problem], int]:
    """Return the key, the predictions of each chunk, all problems, and how many pictures were done anew."""
    settings = [VERSION, run.key(), options.focal_length]
    chunks, keys = chunks_of(names), list[str]()
    for _, own in chunks:
        people = (
            [_as_json(finder.boxes.get(name)) for name in own] if finder.boxes is not None else []
        )
        keys.append(key_of(settings, finder.root, own, people))
    done = {index: part for index, _ in chunks if (part := kept.part(keys[index]))}
    left = [(index, own) for index, own in chunks if index not in done]
    if done:
        say(
            f"{options.out}: {sum(len(chunks[i][1]) for i in done)} of {len(names)} pictures are there"
        )
    for chunk in predict_chunks(run, finder, left, options.focal_length, options.readers):
        kept.keep_part(keys[chunk.index], chunk.predictions, chunk.problems, run.body.sha256)
        done[chunk.index] = chunk.predictions, [list(one) for one in chunk.problems]
    problems = [Problem(*one) for index, _ in chunks for one in done[index][1]]
    parts = [done[index][0] for index, _ in chunks]
    return keys, parts, problems, sum(len(own) for _, own in left)


def _as_json(people: PeopleInPicture | None) -> Any:
    return None if people is None else [people.numbers, people.squares.tolist()]


Found = tuple[list[str], dict[str, PeopleInPicture] | None, list[Problem], list[str]]


def _people(
    root: Path, names: list[str], run: TrainedRun, options: PredictOptions, kept: KeptResults
) -> Found:
    """Return the pictures, who is in them (None: all alike), problems, and keys of what was remembered."""
    if options.boxes == WHOLE:
        return names, None, [], []
    if options.boxes.startswith(PREFIX):
        return _detected(root, names, run, options, kept)
    file = Path(options.boxes)
    boxes = _by_our_names(read_boxes(file, options.margin), names)
    if not boxes:
        raise InputError(f"--boxes {file}: has no boxes; give one per person, or --boxes whole")
    there = set(names)
    missing = [
        Problem(name, -1, f"no such picture below {root}, but {file} has boxes in it")
        for name in boxes
        if name not in there
    ]
    with_box = [name for name in names if name in boxes]
    if not with_box:
        raise InputError(
            f"--boxes {file}: none of its pictures, such as {next(iter(boxes))}, is below {root}; "
            "its image_name is relative to that folder"
        )
    if less := len(names) - len(with_box):
        say(f"{less} of {len(names)} pictures have no box in {file}; left out")
    return with_box, boxes, missing, []


def _by_our_names(
    boxes: dict[str, PeopleInPicture], names: Sequence[str]
) -> dict[str, PeopleInPicture]:
    """Return boxes by the names of the pictures, where the file names them with other folders."""
    if set(boxes) & set(names):
        return boxes
    short = {PurePosixPath(name).name: name for name in names}
    by_name = {short.get(PurePosixPath(name).name, name): people for name, people in boxes.items()}
    unique = len(short) == len(names) and len(by_name) == len(boxes)
    return by_name if unique else boxes


def _detected(
    root: Path, names: list[str], run: TrainedRun, options: PredictOptions, kept: KeptResults
) -> Found:
    """Return the people that a detector finds; the boxes of each chunk are remembered."""
    name = options.boxes.removeprefix(PREFIX)
    detector: list[PersonDetector] = []  # loaded when the first picture needs it

    def boxes_in(own: Sequence[str]) -> list[list[list[float]]]:
        if not detector:
            detector.append(PersonDetector(name, options.min_score, run.device))
        return [detector[0].people_of(root / one) for one in own]

    boxes, keys = dict[str, PeopleInPicture](), list[str]()
    for _, own in track(chunks_of(names), f"looking for people ({name})"):
        key = key_of(["boxes", name, options.min_score], root, own, [])
        keys.append(key)
        for one, found in zip(own, kept.remembered(key, partial(boxes_in, own)), strict=True):
            corners = square_around(np.array(found).reshape(-1, 4), options.margin)
            boxes[one] = PeopleInPicture(tuple(range(len(found))), corners)
    if empty := [one for one, people in boxes.items() if not people.numbers]:
        first = ", ".join(empty[:NAMED]) + ", ..." * (len(empty) > NAMED)
        say(f"no people found in {len(empty)} of {len(names)} pictures: {first}")
    return names, boxes, [], keys


def _write_problems(problems: Sequence[Problem], path: Path) -> None:
    if not problems:
        path.unlink(missing_ok=True)
        return
    with (
        replacing(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Problem._fields)
        writer.writerows(problems)
