"""The samples of a page: which are chosen, and what the networks of the runs make of them."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from pmnet.body import BodyModel, BodyParams
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.spread import evenly
from pmnet.data.samples import Samples
from pmnet.data.sets import pairs_of
from pmnet.evaluation.error_table import KEY, METRICS, read_errors
from pmnet.evaluation.phrases import by_dataset
from pmnet.evaluation.prediction import encode
from pmnet.images.file import Pixels
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import unpack
from pmnet.model.selection import Selector
from pmnet.model.weights import load_memory, load_network, log_file, model_file
from pmnet.report.options import PageOptions
from pmnet.report.page.bodies import ThinnedBody, as_numbers, is_open
from pmnet.report.page.samples import VERSION, PageHeader, PageRun, PageSamples
from pmnet.report.tables import MEMORIES

SHARE_SPREAD: Final = (
    2 / 3
)  # of the samples that are spread over the distances; the others are the worst
LOG_ROWS: Final = 200  # of a run
OF_VERTICES: Final = (
    "single",
    "p3dh",
)  # the runs of a page whose bodies are vertices: they take more room


def choose_samples(errors: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return about `count` of the rows of one run, seed and data set, in the order of the samples.

    Two thirds are spread evenly over the ranks of the distance to the mean body (of MPJPE, where no
    distance is known), the others are those with the highest error among the rest.
    """
    known = errors["distance_to_mean_mm"].notna().all()
    ranked = errors.sort_values(["distance_to_mean_mm" if known else "mpjpe_mm", "sample"])
    spread = round(count * SHARE_SPREAD)
    chosen = ranked.iloc[np.unique(evenly(len(ranked), spread).numpy())]
    rest = ranked.drop(chosen.index)
    worst = rest.sort_values(["mpvpe_mm" if known else "mpjpe_mm", "sample"]).tail(count - spread)
    return pd.concat([chosen, worst]).sort_values("sample")


@dataclass(frozen=True)
class _RunFiles:
    """The files of a run: the memory, the folder of its networks, and the first seed of its errors."""

    run: PageRun
    memory: PrototypeMemory
    models: Path
    rows: pd.DataFrame


def predict_samples(
    errors: Sequence[Path],
    memories: Sequence[Path],
    models: Sequence[Path],
    sets: Path,
    body: Path,
    options: PageOptions,
) -> PageSamples:
    """Return samples of each test set with what the networks of the runs make of them.

    The runs are given by their files of errors, memories and folders of networks, in the same order. Of
    each the first seed is shown, by the selection that was evaluated. The samples are chosen by the run
    of the method p3dh, or the last one (`choose_samples`). Raises InputError where files do not belong
    together.
    """
    model = BodyModel.load(body)
    runs = _runs(errors, memories, models, model)
    if not is_open(model) and (few := [run for run in runs if run.run.method in OF_VERTICES]):
        runs = few
    shown = next((run for run in runs if run.run.method == "p3dh"), runs[-1]).rows
    chosen = {
        str(name): choose_samples(rows, options.samples)
        for name, rows in shown.groupby("dataset", sort=False)
    }
    parts = [_of_set(*pair, chosen, runs, model, options) for pair in pairs_of(sets)]
    samples = _joined(runs, model, [part for part in parts if part is not None])
    say(f"{len(samples)} samples, {len(samples.bodies)} bodies of {len(runs)} runs for the page")
    return samples


def _runs(
    errors: Sequence[Path], memories: Sequence[Path], models: Sequence[Path], body: BodyModel
) -> list[_RunFiles]:
    if not len(errors) == len(memories) == len(models):
        raise InputError(
            f"{len(errors)} --errors, {len(memories)} --memories and {len(models)} --models: "
            "give one of each per run, in the same order"
        )
    table = read_errors(errors)
    rows = table[table["inference"] == "model"]
    runs = []
    for name, memory, folder in zip(rows["run"].unique(), memories, models, strict=True):
        own = rows[rows["run"] == name]
        first = own[own["seed"] == own["seed"].min()]
        about = first.iloc[0]
        run = PageRun(
            str(name),
            about["method"],
            MEMORIES[about["method"]],
            int(about["k"]),
            int(about["seed"]),
        )
        runs.append(_RunFiles(run, load_memory(memory, body), folder, first))
    return runs


@dataclass(frozen=True)
class _SetPart:
    """The chosen samples of one test set, and their bodies by run."""

    rows: pd.DataFrame
    table: Samples
    pictures: list[bytes]
    true: BodyParams | None
    predicted: list[tuple[BodyParams, Float[torch.Tensor, "n 3"]]]
    errors: list[pd.DataFrame]

    def genders(self, words: str) -> Sequence[str]:
        """Return the genders of the samples where the words of the protocol say so, otherwise none."""
        dataset, protocol = self.table.about.dataset, str(self.rows["protocol"].iloc[0])
        name_and_words = by_dataset(protocol).get(dataset, ("", protocol))
        return self.table.gender if words in name_and_words[1] else ()


@torch.no_grad()
def _of_set(
    samples: Path,
    images: Path,
    chosen: dict[str, pd.DataFrame],
    runs: list[_RunFiles],
    body: BodyModel,
    options: PageOptions,
) -> _SetPart | None:
    """Return the chosen samples of a test set; None where none of it was evaluated."""
    whole = Samples.load(samples)
    if (rows := chosen.get(whole.about.dataset)) is None:
        return None
    index = torch.tensor(rows["sample"].to_numpy())
    if int(index.max()) >= len(whole):
        raise InputError(f"{samples}: fewer samples than were evaluated; run the stage evaluate")
    table, seen = whole.select(index), Pixels(images).read(index)
    predicted, errors = [], []
    for files in runs:
        network = load_network(model_file(files.models, files.run.seed), files.memory)
        encoded = encode(network, seen)
        selector = Selector(network, files.memory, body)
        start, _ = selector.start(encoded.features, encoded.scores, files.rows["selection"].iloc[0])
        prediction = unpack(network.regress(encoded.features, start))
        predicted.append((prediction.params, prediction.camera))
        own = files.rows.set_index(KEY)
        errors.append(own.loc[pd.MultiIndex.from_frame(rows[KEY])].reset_index())
    pictures = list(_pictures(seen, options))
    true = table.body_params() if table.has_smpl.all() else None
    return _SetPart(rows, table, pictures, true, predicted, errors)


def _pictures(pixels: UInt8[torch.Tensor, "n 3 s s"], options: PageOptions) -> Iterator[bytes]:
    for pixel in pixels.permute(0, 2, 3, 1).numpy():
        picture = Image.fromarray(pixel)
        picture.thumbnail((options.picture_px, options.picture_px))
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=options.picture_quality, method=6)
        yield stream.getvalue()


def _joined(runs: list[_RunFiles], body: BodyModel, parts: list[_SetPart]) -> PageSamples:
    """Return the samples of all test sets as one file, its bodies in the form that may be handed on."""
    numbers = is_open(body)
    thinned = None if numbers else ThinnedBody.of(body)

    def coded(
        params: BodyParams,
        cameras: Float[torch.Tensor, "n 3"] | None = None,
        genders: Sequence[str] = (),
    ) -> np.ndarray:
        if thinned is None:
            return as_numbers(params, cameras)
        return thinned.as_steps(params, body, genders)

    blocks = [coded(run.memory.prototypes) for run in runs]
    first = np.cumsum([0, *map(len, blocks)])
    at, truth, predicted = int(first[-1]), list[np.ndarray](), list[np.ndarray]()

    def add(block: np.ndarray) -> np.ndarray:
        nonlocal at
        blocks.append(block)
        at += len(block)
        return np.arange(at - len(block), at)

    for part in parts:
        if part.true is None:
            truth.append(np.full(len(part.rows), -1))
        else:
            truth.append(add(coded(part.true, genders=part.genders("true body of its gender"))))
        genders = part.genders("predicted body of the true gender")
        predicted.append(np.stack([add(coded(*each, genders)) for each in part.predicted]))
    tables = [pd.concat([part.errors[r] for part in parts]) for r in range(len(runs))]
    pictures = [picture for part in parts for picture in part.pictures]
    whole, about = tables[-1], runs[0].rows.iloc[0]
    return PageSamples(
        header=PageHeader(
            VERSION,
            body.sha256,
            "numbers" if numbers else "vertices",
            about["selection"],
            about["protocol"],
            [files.run for files in runs],
        ),
        bodies=np.concatenate(blocks),
        faces=np.zeros((0, 3), np.int64) if thinned is None else thinned.faces,
        truth=np.concatenate(truth),
        predicted=np.concatenate(predicted, 1),
        first=first,
        sizes=np.concatenate([files.memory.sizes.numpy() for files in runs]),
        assigned=np.stack([table["assigned"] for table in tables]),
        chosen=np.stack([table["chosen"] for table in tables]),
        errors_mm=np.stack([table[list(METRICS)].to_numpy() for table in tables]),
        distance_mm=whole["distance_to_mean_mm"].to_numpy(),
        dataset=whole["dataset"].to_numpy().astype(str),
        sequence=whole["sequence"].to_numpy().astype(str),
        subject=whole["subject"].to_numpy().astype(str),
        sample=whole["sample"].to_numpy(),
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        picture_ends=np.cumsum([len(picture) for picture in pictures]),
        log=np.concatenate([_log(number, files) for number, files in enumerate(runs)]),
    )


def _log(number: int, files: _RunFiles) -> Float[np.ndarray, "l 4"]:
    """Return run, step, loss and accuracy of the training log of a run, thinned."""
    path = log_file(files.models, files.run.seed)
    try:
        log = pd.read_csv(path)[["step", "loss", "accuracy"]].to_numpy(float)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a log of training ({error}); run the stage train") from None
    log = log[evenly(len(log), LOG_ROWS).numpy()] if len(log) > LOG_ROWS else log
    return np.column_stack([np.full(len(log), float(number)), log])
