"""page_samples: samples of each test set with prediction, prototype and truth, for the page."""

from pathlib import Path
from typing import Annotated

from pmnet.core.stage import OutFile, Section, command
from pmnet.report.options import PageOptions
from pmnet.report.page.predicting import predict_samples


def page_samples(
    errors: list[Path],
    memories: list[Path],
    models: list[Path],
    sets: Path,
    body: Path,
    out: OutFile,
    page: Annotated[PageOptions, Section("figures.page")],
) -> None:
    """Predict the samples that the page shows, by the first seed of each run, into one .npz."""
    predict_samples(errors, memories, models, sets, body, page).save(out)


if __name__ == "__main__":
    command(page_samples)
