"""The files of predictions: meshes, overlays, motions, the sheet; each is written once."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
from PIL import Image

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.spread import evenly
from pmnet.images.sheet import grid, save_picture
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.predict import overlays
from pmnet.predict.gltf import write_plain_glb, write_skinned_glb
from pmnet.predict.kept import KeptResults
from pmnet.predict.meshes import TO_VIEWER, write_obj
from pmnet.predict.motion import PersonMotion, motions, write_amass
from pmnet.predict.options import PredictOptions
from pmnet.predict.pictures import NoImageError, read_picture
from pmnet.predict.predictions import Predictions

SHEET_PEOPLE, SHEET_COLUMNS, SHEET_PX = 60, 6, 220
COLUMNS: Final = (
    *("image_name", "person", "distance_to_mean_mm"),
    *("prototype", "prototype_share", "prototype_probability"),
)


def _with_hash(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name}-{digest[:8]}"


@dataclass(frozen=True)
class Outputs:
    """Writes the files that were asked for, for predictions on the pictures in `root`."""

    kept: KeptResults
    root: Path
    names: Sequence[str]  # of the pictures
    body: BodyModel
    memory: PrototypeMemory
    options: PredictOptions
    _views: dict[int, Image.Image] = field(default_factory=dict)

    @cached_property
    def _labels(self) -> dict[str, str]:
        """Return what the files of each picture are called: its name without the ending, where unique."""
        labels = {name: PurePosixPath(name).with_suffix("").as_posix() for name in self.names}
        for longer in (lambda name: name, _with_hash):
            count = Counter(label.casefold() for label in labels.values())
            labels = {
                name: label if count[label.casefold()] == 1 else longer(name)
                for name, label in labels.items()
            }
        return labels

    @cached_property
    def _exact_body(self) -> BodyModel:
        return self.body.double_precision()

    def _view_of(self, prototype: int) -> Image.Image:
        if prototype not in self._views:
            chosen = self.memory.prototypes[slice(prototype, prototype + 1)]
            self._views[prototype] = overlays.body_view(self.body, chosen)
        return self._views[prototype]

    def write_each(self, predictions: Predictions, key: str) -> int:
        """Write the files of each person: meshes and overlays; return how many were not there before."""
        if not len(predictions) or not {"obj", "glb", "overlay"} & set(self.options.save):
            return 0
        params = predictions.body_params()
        vertices = self.body.vertices(params).numpy()
        work: list[Callable[[], int]] = []
        for rows in _by_picture(predictions):
            work.append(partial(self._write_picture, predictions, params, vertices, rows, key))
        with ThreadPoolExecutor(self.options.readers) as pool:
            return sum(pool.map(lambda job: job(), work))

    def _write_picture(
        self,
        predictions: Predictions,
        params: BodyParams,
        vertices: np.ndarray,
        rows: list[int],
        key: str,
    ) -> int:
        written = 0
        for row in rows:
            name = self._name(predictions, row)
            placed = vertices[row] + predictions.translation[row]
            if "obj" in self.options.save:
                faces = self.body.faces.numpy()
                write = partial(write_obj, vertices=placed * TO_VIEWER, faces=faces)
                written += self.kept.made(f"meshes/{name}.obj", f"{key}:obj", write)
            if "glb" in self.options.save and self.options.fps is None:
                write = partial(self._write_glb, predictions, params, vertices, row)
                written += self.kept.made(f"meshes/{name}.glb", f"{key}:{self.options.glb}", write)
        if "overlay" in self.options.save:
            written += self._write_overlays(predictions, params, vertices, rows, key)
        return written

    def _write_glb(
        self,
        predictions: Predictions,
        params: BodyParams,
        vertices: np.ndarray,
        row: int,
        path: Path,
    ) -> None:
        place = predictions.translation[row].astype(float)
        if self.options.glb == "plain":
            write_plain_glb(path, vertices[row], self.body.faces.numpy(), place)
        else:
            one = params[slice(row, row + 1)]
            write_skinned_glb(path, self._exact_body, one, place[None], np.zeros(1))

    def _write_overlays(
        self,
        predictions: Predictions,
        params: BodyParams,
        vertices: np.ndarray,
        rows: list[int],
        key: str,
    ) -> int:
        opened: list[Image.Image] = []

        def picture() -> Image.Image:
            if not opened:
                opened.append(self._picture(str(predictions.image_name[rows[0]])))
            return opened[0]

        meshes = [
            overlays.PlacedMesh(
                vertices[row] + predictions.translation[row],
                float(predictions.focal_length[row]),
                overlays.COLOURS[place % len(overlays.COLOURS)],
            )
            for place, row in enumerate(rows)
        ]

        def one(row: int, mesh: overlays.PlacedMesh, path: Path) -> None:
            side = overlays.side_view(self.body, params[slice(row, row + 1)])
            prototype = self._view_of(int(predictions.prototype[row]))
            caption = overlays.caption_of(predictions, row)
            _save(overlays.overlay(picture(), mesh, side, prototype, caption, self.body), path)

        def all_of_them(path: Path) -> None:
            _save(overlays.meshes_on_picture(picture(), meshes, self.body), path)

        written = 0
        for row, mesh in zip(rows, meshes, strict=True):
            name = f"overlays/{self._name(predictions, row)}.png"
            written += self.kept.made(name, f"{key}:overlay", partial(one, row, mesh))
        if len(rows) > 1:
            label = self._labels[str(predictions.image_name[rows[0]])]
            written += self.kept.made(f"overlays/{label}_all.png", f"{key}:overlay", all_of_them)
        return written

    def _name(self, predictions: Predictions, row: int) -> str:
        return f"{self._labels[str(predictions.image_name[row])]}_{predictions.person[row]}"

    def write_all(self, predictions: Predictions, order: dict[str, int], key: str) -> None:
        """Write the files of all people together: numbers, motions, the sheet."""
        self.kept.made("predictions.csv", f"{key}:csv", partial(write_table, predictions))
        if "npz" in self.options.save:
            write = partial(predictions.save, body=self.body.sha256)
            self.kept.made("predictions.npz", f"{key}:npz", write)
        if self.options.fps is not None:
            for motion in motions(predictions, order):
                self._write_motion(motion, self.options.fps, key)
        if "sheet" in self.options.save and len(predictions):
            self.kept.made("sheet.png", f"{key}:sheet", partial(self._write_sheet, predictions))

    def _picture(self, name: str) -> Image.Image:
        try:
            return read_picture(self.root / name)
        except NoImageError as error:
            raise InputError(
                f"{self.root / name}: could be read before, but cannot now ({error}); run the command again"
            ) from None

    def _write_motion(self, motion: PersonMotion, fps: float, key: str) -> None:
        name = f"motion/person_{motion.person}"
        if "amass" in self.options.save:
            write = partial(write_amass, motion=motion, fps=fps, body=self.body)
            self.kept.made(f"{name}_poses.npz", f"{key}:amass:{fps}", write)
        if "glb" in self.options.save:
            times = (motion.frames - motion.frames[0]) / fps

            def glb(path: Path) -> None:
                write_skinned_glb(path, self._exact_body, motion.params, motion.translation, times)

            self.kept.made(f"{name}.glb", f"{key}:moving:{fps}", glb)

    def _write_sheet(self, predictions: Predictions, path: Path) -> None:
        """Write at most SHEET_PEOPLE people, spread evenly, with their meshes."""
        rows = evenly(len(predictions), SHEET_PEOPLE).tolist()
        part = predictions.rows(rows)
        vertices = self.body.vertices(part.body_params()).numpy() + part.translation[:, None]
        cells, titles = [], []
        for row, name in enumerate(part.image_name.tolist()):
            mesh = overlays.PlacedMesh(vertices[row], float(part.focal_length[row]))
            drawn = overlays.meshes_on_picture(self._picture(name), [mesh], self.body)
            square = Image.new("RGB", (SHEET_PX, SHEET_PX), "white")
            drawn.thumbnail((SHEET_PX, SHEET_PX))
            square.paste(drawn, ((SHEET_PX - drawn.width) // 2, (SHEET_PX - drawn.height) // 2))
            cells.append(torch.from_numpy(np.array(square)).permute(2, 0, 1))
            far = part.distance_to_mean_mm[row]
            titles.append(
                f"{name.split('/')[-1][-22:]} {part.person[row]}\n{far:.0f} mm from the mean"
            )
        starts = range(0, len(cells), SHEET_COLUMNS)
        lines = [torch.stack(cells[start : start + SHEET_COLUMNS]) for start in starts]
        above = [titles[start : start + SHEET_COLUMNS] for start in starts]
        save_picture(grid(lines, [""] * len(lines), above, SHEET_PX), path)


def _by_picture(predictions: Predictions) -> list[list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(predictions.image_name.tolist()):
        rows.setdefault(name, []).append(row)
    return list(rows.values())


def write_table(predictions: Predictions, path: Path) -> None:
    """Write how rare each prediction is, as csv."""
    with (
        replacing(path) as partial_path,
        partial_path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        columns = (getattr(predictions, column).tolist() for column in COLUMNS)
        for values in zip(*columns, strict=True):
            writer.writerow([f"{v:.4g}" if isinstance(v, float) else v for v in values])


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as partial_path:
        picture.save(partial_path, "PNG")
