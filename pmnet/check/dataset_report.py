"""The reports of `pmnet check ROOT`: the data sets below a folder, their contents and their faults."""

import importlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from pmnet import datasets
from pmnet.body import BodyModel
from pmnet.check.inspection import Finding, inspect
from pmnet.check.overlays import overlay_sheet
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset
from pmnet.datasets._shared.discovery import Found, walked_once
from pmnet.images.sheet import save_picture

SHEET_SAMPLES, SHEET_PX = 16, 160  # of a contact sheet


@dataclass(frozen=True)
class DatasetReport:
    """The report on one data set; `samples` is None where it cannot be ingested."""

    found: Found
    name: str
    findings: list[Finding]
    contents: dict[str, str] = field(default_factory=dict)
    samples: Samples | None = None

    @property
    def wrong(self) -> bool:
        """Return whether something has to be mended."""
        return any(finding.kind == "wrong" for finding in self.findings)


def find_all(root: Path) -> list[Found]:
    """Return what all adapters recognise below a folder, one entry per data set, in a fixed order.

    Raises InputError where the folder does not exist.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds your data sets")
    found: list[Found] = []
    with walked_once():
        for name in datasets.adapters():
            adapter = importlib.import_module(f"pmnet.datasets.{name}")
            found += adapter.find(root) if hasattr(adapter, "find") else []
    return sorted(found, key=lambda one: (str(one.source), one.adapter, str(one.options)))


def check(root: Path, body: BodyModel) -> Iterator[DatasetReport]:
    """Yield a report on each data set below a folder; see `find_all` for the error."""
    used = set[str]()
    for found in track(find_all(root), "checking"):
        name = _name(found, used)
        entry = Dataset(found.adapter, found.split, found.source, found.options)
        contents = _contents(found)
        try:
            samples = datasets.read(name, entry, body, str(found.source))
        except InputError as error:
            yield DatasetReport(found, name, [Finding("wrong", str(error))], contents)
            continue
        findings = [*_counts(samples, found), *inspect(samples, body)]
        if found.split == "test" and not samples.is_measurable():
            findings.append(Finding("note", "no 3D joints either: no error can be measured on it"))
            found = replace(found, split="preview")
        yield DatasetReport(found, name, findings, contents, samples)


def as_text(report: DatasetReport) -> Iterator[str]:
    """Yield the lines of a report for people."""
    found, samples = report.found, report.samples
    rows = "cannot be ingested" if samples is None else f"{len(samples):,} samples"
    yield f"{found.source}"
    yield f"  {found.adapter}: {found.layout}, {found.split}: {rows}"
    for key, what in report.contents.items():
        yield f"    {key}: {what}"
    for finding in sorted(report.findings, key=lambda f: f.kind == "note"):
        yield f"  {'WRONG' if finding.kind == 'wrong' else 'note '}  {finding.text}"
    if not report.wrong:
        yield "  put into params.yaml, under datasets:"
        yield from (f"    {line}" for line in entry_yaml(report).splitlines())


def verdict(root: Path, reports: list[DatasetReport]) -> str:
    """Return one line on all reports."""
    if not reports:
        names = ", ".join(datasets.adapters())
        return (
            f"{root}: no data set recognised; known are {names}. For their layouts see docs/data.md"
        )
    wrong = [report.name for report in reports if report.wrong]
    return f"{len(reports)} data sets, " + (
        f"wrong: {', '.join(wrong)}" if wrong else "all in order"
    )


def draw(report: DatasetReport, body: BodyModel, folder: Path) -> None:
    """Write a contact sheet of a data set: joints and body over the images."""
    if report.samples is not None and len(report.samples):
        save_picture(
            overlay_sheet(report.samples, body, SHEET_SAMPLES, SHEET_PX),
            folder / f"{report.name}.png",
        )


def as_json(reports: list[DatasetReport]) -> str:
    """Return all reports as JSON: a list of data sets, with findings and the entry for params.yaml."""
    return json.dumps(
        [
            {
                "name": report.name,
                "adapter": report.found.adapter,
                "layout": report.found.layout,
                "split": report.found.split,
                "source": str(report.found.source),
                "options": report.found.options,
                "published": report.found.published,
                "samples": None if report.samples is None else len(report.samples),
                "counts": {} if report.samples is None else report.samples.about.counts,
                "contents": report.contents,
                "wrong": report.wrong,
                "findings": [asdict(finding) for finding in report.findings],
            }
            for report in reports
        ],
        indent=2,
        default=str,
    )


def entry_yaml(report: DatasetReport) -> str:
    """Return the entry of a data set for `datasets` of params.yaml."""
    found, stream = report.found, StringIO()
    entry = {
        "adapter": found.adapter,
        "split": found.split,
        "source": str(found.source),
        "options": _plain(found.options),
    }
    YAML().dump({report.name: entry}, stream)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _counts(samples: Samples, found: Found) -> Iterator[Finding]:
    rows = samples.about.counts.get("rows", len(samples))
    for what, count in samples.about.counts.items():
        if what != "rows" and count:
            yield Finding("note", f"{count:,} {what}")
    if found.published is not None and rows != found.published:
        yield Finding(
            "note",
            f"{rows:,} rows, but {found.published:,} are published: another release, or a part",
        )
    people = len(set(samples.subject) - {""})
    if people:
        yield Finding("note", f"{people} subjects, {len(set(samples.sequence)):,} sequences")


def _contents(found: Found) -> dict[str, str]:
    """Return key, kind and shape of each array of the annotation file, where it is an npz."""
    named = found.options.get("file")
    path = found.source / str(named) if named else found.source
    if path.suffix != ".npz" or not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: f"{archive[key].dtype} {archive[key].shape}" for key in archive.files}
    except Exception:  # reading the file as samples gives the error
        return {}


def _name(found: Found, used: set[str]) -> str:
    """Return an unused name for the data set; test sets have the names in the paper's tables."""
    base = found.adapter if found.split == "test" else f"{found.adapter}_train"
    names = (base if number == 1 else f"{base}_{number}" for number in itertools.count(1))
    name = next(name for name in names if name not in used)
    used.add(name)
    return name
