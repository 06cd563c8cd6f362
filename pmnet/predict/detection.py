"""Boxes of people by a detector of torchvision that the user names: its weights are downloaded."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from pmnet.core.errors import InputError
from pmnet.core.progress import say
from pmnet.predict.pictures import NoImageError, read_picture

PREFIX: Final = "torchvision:"
PERSON: Final = "person"

UNUSABLE: Final = (
    OSError,
    RuntimeError,
    EOFError,
    UnpicklingError,
)  # weights; URLError is an OSError


class PersonDetector:
    """A detector of torchvision with its published weights; people of at least `min_score` count."""

    def __init__(self, name: str, min_score: float, device: torch.device) -> None:
        """Load a detector; raises InputError for an unknown name and where its weights cannot be got."""
        from torchvision import models  # torchvision takes seconds to import

        known = models.list_models(module=models.detection)
        if name not in known:
            raise InputError(f"--boxes {PREFIX}{name}: not one of {', '.join(known)}")
        weights = models.get_model_weights(name).DEFAULT
        say(f"--boxes {PREFIX}{name}: uses the weights {weights.url}; downloads them if need be")
        try:
            self._model = models.get_model(name, weights=weights).eval().to(device)
        except UNUSABLE as error:
            cache = Path(torch.hub.get_dir()) / "checkpoints"
            raise InputError(
                f"--boxes {PREFIX}{name}: its weights cannot be downloaded or read ({error}); put them into "
                f"{cache} (delete a broken file there), or give a file of boxes"
            ) from None
        self._person = weights.meta["categories"].index(PERSON)
        self._min_score, self._device = min_score, device

    @torch.no_grad()
    def people_in(self, picture: Image.Image) -> Float[np.ndarray, "p 4"]:
        """Return the boxes (x0, y0, x1, y1 px) of the people in a picture, the surest first."""
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).to(self._device)
        (found,) = self._model([pixels.float() / 255])
        kept = (found["labels"] == self._person) & (found["scores"] >= self._min_score)
        boxes = found["boxes"][kept].double().cpu().numpy()
        return boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]

    def people_of(self, path: Path) -> list[list[float]]:
        """Return the boxes in a file; none where it cannot be read (predicting then says why)."""
        try:
            picture = read_picture(path)
        except NoImageError:
            return []
        boxes: list[list[float]] = self.people_in(picture).tolist()
        return boxes
