"""A trained run, ready to predict: its network, its memory, and what its predictions are measured by."""

import hashlib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.body.posing import many_vertices
from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.core.distributed import device_among
from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.core.yaml_files import read_yaml
from pmnet.evaluation.prediction import Encoded, batch_of
from pmnet.images.file import SizePx
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spin import read_mean
from pmnet.model.network import PMNet, Prediction, unpack
from pmnet.model.selection import Selection, Selector
from pmnet.model.weights import load_memory, load_network, model_file, precision_of
from pmnet.predict.camera import field_camera

MEAN: Final = Path("runs/single/memory.npz")
BODY: Final = Path("data/body.npz")


@dataclass(frozen=True)
class RunFiles:
    """The files of one trained run: weights, memory, body, and the mean body (None: the memory's mean)."""

    name: str
    weights: Path
    memory: Path
    body: Path
    mean: Path | None
    size_px: int
    selection: Selection


@dataclass(frozen=True)
class EncodedCrops(Encoded):
    """Features and scores of crops, and the event after which a GPU has them; None on a CPU."""

    ready: torch.cuda.Event | None


@dataclass(frozen=True)
class PredictedBodies:
    """What the network predicts for B crops; `camera` is as the field writes it (`field_camera`)."""

    params: BodyParams
    camera: Float[Tensor, "b 3"]
    joints: Float[Tensor, "b 24 3"]
    prototype: Int[Tensor, "b"]
    probability: Float[Tensor, "b"]
    distance_to_mean_mm: Float[Tensor, "b"]


class TrainedRun:
    """The network of a run on a device. The same crops give the same bodies as `evaluate` sees."""

    def __init__(self, files: RunFiles, machine: Machine) -> None:
        """Load a run; raises InputError for files that are missing, broken, or do not belong together."""
        self.files = files
        self.body = BodyModel.load(files.body)
        self.memory = load_memory(files.memory, self.body)
        device = device_among(machine, precision_of(files.weights))
        self.network: PMNet = load_network(files.weights, self.memory).to(device)
        self.mean = self._mean().to(device)
        self.device = device
        self._posed = deepcopy(self.body).to(device)  # `body` stays on the CPU, for what is written
        self.selector = Selector(self.network, self.memory, self._posed)
        self._aside = torch.cuda.Stream(device) if device.type == "cuda" else None
        with torch.no_grad():
            self._mean_vertices = many_vertices(self._posed, self.mean)

    def _mean(self) -> BodyParams:
        if self.files.mean is not None:
            return read_mean(self.files.mean, self.body, "--mean")
        say("distances are to the mean of the memory's prototypes: no mean body was given or found")
        return unpack(self.network.mean[None].cpu()).params

    @property
    def shares(self) -> Float[Tensor, "k"]:
        """Return the share of the training samples that each prototype has; NaN for an imported memory."""
        return self.memory.sizes / len(self.memory.assignments)

    @property
    def batch(self) -> int:
        """Return how many crops the network sees at a time."""
        return batch_of(self.device)

    def key(self) -> dict[str, Any]:
        """Return what the predictions depend on, for the names of kept results."""
        files = [self.files.weights, self.files.memory, *filter(None, [self.files.mean])]
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        return {
            "files": hashes,
            "body": self.body.sha256,
            "size_px": self.files.size_px,
            "selection": self.files.selection,
        }

    @torch.no_grad()
    def encode(self, crops: UInt8[Tensor, "b 3 s s"]) -> EncodedCrops:
        """Return features and scores of crops."""
        features, scores = self.network.encode(crops.to(self.device).float() / 255)
        ready = torch.cuda.current_stream(self.device).record_event() if self._aside else None
        return EncodedCrops(features, scores, ready)

    def finish(self, encoded: EncodedCrops) -> PredictedBodies:
        """Return the bodies of encoded crops, on the CPU; a GPU goes on to encode further crops meanwhile."""
        if self._aside is None or encoded.ready is None:
            return self._finish(encoded)
        self._aside.wait_event(encoded.ready)
        # `encoded` may be freed after this: its bodies have been copied to the CPU by then
        with torch.cuda.stream(self._aside):
            return self._finish(encoded)

    @torch.no_grad()
    def _finish(self, encoded: Encoded) -> PredictedBodies:
        start, prototype = self.selector.start(
            encoded.features, encoded.scores, self.files.selection
        )
        predicted: Prediction = unpack(self.network.regress(encoded.features, start))
        vertices = many_vertices(self._posed, predicted.params)
        distance = mean_distance_mm(vertices, self._mean_vertices.expand_as(vertices))
        chosen = encoded.scores.softmax(1).gather(1, prototype[:, None])[:, 0]
        cpu = torch.device("cpu")
        return PredictedBodies(
            predicted.params.to(cpu),
            field_camera(predicted.camera).to(cpu),
            self._posed.joints(predicted.params).to(cpu),
            prototype.to(cpu),
            chosen.to(cpu),
            distance.to(cpu),
        )


def find_run(
    run: str,
    seed: int | None,
    body: Path | None = None,
    mean: Path | None = None,
    size_px: int | None = None,
) -> RunFiles:
    """Return the files of a run: the folder `run`, or the folder of that name below runs/.

    What is not given is taken from the project of the run (params.yaml, data/body.npz): the side of the
    crops, the mean body, the selection, the first seed. Raises InputError that names what is missing.
    """
    folder = next((p for p in (Path(run), Path("runs") / run) if p.is_dir()), None)
    if folder is None:
        there = sorted(path.name for path in Path("runs").glob("*") if path.is_dir())
        raise InputError(
            f"--run {run}: no such folder, nor one below runs/ (there: {', '.join(there) or 'none'}); run "
            "`dvc repro` first, or give the folder of a run"
        )
    project = folder.resolve().parent.parent
    settings = _settings(project)
    memory = folder / "memory.npz"
    return RunFiles(
        folder.resolve().name,
        _weights(folder, seed),
        memory,
        body or _body(project, memory),
        mean or _mean(project, settings),
        _size(project, settings, size_px),
        settings.get("selection", "hard"),
    )


def _weights(folder: Path, seed: int | None) -> Path:
    if seed is not None:
        if not (path := model_file(folder / "train", seed)).is_file():
            raise InputError(f"{path}: no such file of weights; train this seed, or give another")
        return path
    found = sorted(
        (path for path in (folder / "train").glob("seed_*.pt") if path.stem[5:].isdecimal()),
        key=lambda path: int(path.stem[5:]),
    )
    if not found:
        raise InputError(f"{folder}/train: no weights (seed_0.pt, ...); run the train stage first")
    return found[0]


def _settings(project: Path) -> dict[str, Any]:
    """Return what params.yaml of a project says of images and inference; nothing without the file."""
    file = project / "params.yaml"
    if not file.is_file():
        return {}
    values = read_yaml(file)
    evaluate = values.get("evaluate") if isinstance(values, dict) else None
    images = values.get("images") if isinstance(values, dict) else None
    found: dict[str, Any] = {}
    if isinstance(images, dict) and "size_px" in images:
        found["size_px"] = params.parse(SizePx, images["size_px"], f"{file}: images.size_px")
    for key, kind in (("mean", str), ("selection", Selection)):
        if isinstance(evaluate, dict) and key in evaluate:
            found[key] = params.parse(kind, evaluate[key], f"{file}: evaluate.{key}")
    return found


def _size(project: Path, settings: dict[str, Any], size_px: int | None) -> int:
    if size_px is not None:
        return int(params.parse(SizePx, size_px, "--size-px"))
    if "size_px" not in settings:
        raise InputError(
            f"{project}/params.yaml: does not say images.size_px; give --size-px, the side (px) of the "
            "images that the run was trained on"
        )
    return int(settings["size_px"])


def _mean(project: Path, settings: dict[str, Any]) -> Path | None:
    """Return the mean body that params.yaml names; None where it names the usual one, which is not made."""
    named = project / str(settings.get("mean", MEAN))
    if named.is_file():
        return named
    if named == project / MEAN:
        return None
    raise InputError(
        f"{named}: no such mean body; {project}/params.yaml names it in evaluate.mean; put it there, or give "
        "--mean"
    )


def _body(project: Path, memory: Path) -> Path:
    """Return the body of a project; the open body where the memory was made with it."""
    if (own := project / BODY).is_file():
        return own
    if PrototypeMemory.load(memory).body == BodyModel.load(OPEN_BODY).sha256:
        return OPEN_BODY
    raise InputError(f"{own}: no such body model; give --body, the one that the run was made with")
