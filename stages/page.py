"""page: tables, curves and bodies to turn in one html file that needs no network."""

from pathlib import Path

from pmnet.core.progress import say
from pmnet.core.stage import OutFile, command
from pmnet.report.page.document import write_page


def page(folder: Path, samples: Path, out: OutFile) -> None:
    """Write the page of a folder of reports: tables, curves, and the samples as bodies to turn."""
    size = write_page(folder, samples, out)
    say(f"{out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command(page)
