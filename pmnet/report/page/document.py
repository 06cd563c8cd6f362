"""The page `index.html`: what lies in a folder of reports, and the samples, in one file without a network."""

import base64
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.report.page.claim import claim_html
from pmnet.report.page.figures import curves_html, sweeps_html, training_html
from pmnet.report.page.folder import ReportFolder
from pmnet.report.page.provenance import provenance, provenance_html
from pmnet.report.page.tables import read_table, read_words, table_section

PLACE: Final = re.compile(r"<!-- (\w+) -->|/\*(\w+)\*/")  # in assets/page.html
SAMPLES: Final = "page_samples.npz"  # in a folder of reports
SCRIPTS: Final = (
    "data.js",
    "bodies.js",
    "drawing.js",
    "views.js",
    "tables.js",
    "samples.js",
    "main.js",
)


def write_page(folder: Path, samples: Path | None, out: Path) -> int:
    """Write the page of a folder of reports; return its size in bytes.

    `samples` is a file of the stage page_samples; without it the page has no bodies. Raises InputError
    where the folder has no table, or a file is damaged.
    """
    report = ReportFolder(folder)
    if not report.numbers:
        raise InputError(
            f"{folder}: no tables/table2.csv to table6.csv in it; run dvc repro, or name a folder of reports"
        )
    content = page(report, samples)
    with replacing(out) as partial:
        partial.write_text(content, encoding="utf-8")
    return len(content.encode())


def page(report: ReportFolder, samples: Path | None) -> str:
    """Return the whole page as text."""
    bodies, arrays = _samples(samples)
    files = [*report.files(), *([samples] if samples is not None else [])]
    sections = {
        "claim": "".join(claim_html(report)),
        "tables": "".join(_tables(report)),
        "curves": curves_html(report),
        "sweeps": "".join(sweeps_html(report)),
        "training": training_html(bodies),
        "provenance": provenance_html(provenance(files), bodies.get("runs", [])),
    }
    hidden = [name for name in ("curves", "sweeps", "training") if not sections[name]]
    hidden += [] if bodies else ["samples", "prototypes"]
    data = {"samples": bodies, "arrays": {name: array.about for name, array in arrays.items()}}
    parts = sections | {
        "style": _asset("page.css"),
        "hidden": "".join(f"#{name},nav [href='#{name}']{{display:none}}" for name in hidden),
        "data": _as_script(data),
        "arrays": "".join(
            f'<script type="text/plain" id="array-{name}">{array.text}</script>\n'
            for name, array in arrays.items()
        ),
        "ogl": f"/* ogl 1.0.11, github.com/oframe/ogl\n{_asset('ogl.LICENSE')}*/\n{_asset('ogl.min.js')}",
        "scripts": "\n".join(map(_asset, SCRIPTS)),
    }
    return PLACE.sub(lambda match: parts[match[1] or match[2]], _asset("page.html"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _as_script(data: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _samples(path: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the samples as JSON values, and the arrays of their bodies; nothing without a file."""
    if path is None:
        return {}, {}
    from pmnet.report.page.coding import (
        arrays_of,  # with bodies comes torch, which takes seconds to import
    )
    from pmnet.report.page.samples import PageSamples, as_json

    samples = PageSamples.load(path)
    pictures = [base64.b64encode(samples.picture(row)).decode() for row in range(len(samples))]
    log = [
        {"run": int(run), "step": step, "loss": loss, "accuracy": accuracy}
        for run, step, loss, accuracy in samples.log.tolist()
    ]
    return {**as_json(samples), "pictures": pictures, "log": log}, arrays_of(samples)


def _tables(report: ReportFolder) -> Iterator[str]:
    for number in report.numbers:
        table = read_table(report.file(f"tables/table{number}.csv"))
        words = read_words(report.file(f"tables/table{number}.md"), number)
        yield table_section(number, table, words)
