"""What the tests of predictions share."""

import pytest
import torch
from bodies import facing
from predicted import Predicted, draw_predicted

from pmnet.data.samples import Samples
from pmnet.evaluation.predictions.scoring import Reading, Scored, Scorer
from pmnet.evaluation.protocols import PROTOCOLS


@pytest.fixture(scope="session")
def predicted(tmp_path_factory) -> Predicted:
    return draw_predicted(tmp_path_factory.mktemp("predicted"))


@pytest.fixture(scope="session")
def scorer(predicted) -> Scorer:
    return Scorer(predicted.body, facing(), "as_seen", {})


@pytest.fixture
def bind(scorer, tmp_path):
    """Return a function that joins predictions with samples."""

    def bound(predictions, samples: Samples, protocol: str = "spin_3dpw", **reading) -> Scored:
        seen = torch.ones(len(samples), dtype=torch.bool)
        own = PROTOCOLS[protocol]
        return scorer.bind(
            predictions, samples, seen, own, tmp_path / "samples.arrow", Reading(**reading)
        )

    return bound
