"""The reports of `pmnet check ROOT`: the data sets below a folder, their contents and their faults."""

import importlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from pmnet import datasets
from pmnet.body import BodyModel
from pmnet.check.fits import fit_findings
from pmnet.check.inspection import Finding, inspect, total
from pmnet.check.overlays import overlay_sheet
from pmnet.check.unread import unreadable
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.data.samples import Samples
from pmnet.datasets import Dataset
from pmnet.datasets._recordings.fits import ENDINGS, RecordingFit
from pmnet.datasets._shared.discovery import Found, walked_once
from pmnet.images.crops import AS_STORED, Reading
from pmnet.images.sheet import save_picture

SHEET_SAMPLES, SHEET_PX = 16, 160  # of a contact sheet
SPIN = "spin"  # takes any file in SPIN's layout that no other adapter knows
RECORDING_FIT = {field.name for field in fields(RecordingFit)}
NOT_READABLE = "no reader can open this file"


@dataclass(frozen=True)
class DatasetReport:
    """The report on one data set; `samples` is None where it cannot be ingested."""

    found: Found
    name: str
    findings: list[Finding]
    contents: dict[str, str] = field(default_factory=dict)
    samples: Samples | None = None
    compared: dict[str, int] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Return whether something has to be mended."""
        return any(finding.kind == "wrong" for finding in self.findings)


def find_all(root: Path) -> list[Found]:
    """Return what all adapters recognise below a folder, one entry per data set, in a fixed order.

    `root` may also be one file. Raises InputError where there is no such folder or file.
    """
    folder, file = _folder_and_file(root)
    found: list[Found] = []
    with walked_once(file):
        for name in datasets.adapters():
            adapter = importlib.import_module(f"pmnet.datasets.{name}")
            found += adapter.find(folder) if hasattr(adapter, "find") else []
    known = {_file_of(one) for one in found if one.adapter != SPIN}
    found = [one for one in found if one.adapter != SPIN or one.source not in known]
    return sorted(found, key=lambda one: (str(one.source), one.adapter, str(one.options)))


def _folder_and_file(root: Path) -> tuple[Path, Path | None]:
    if root.is_file():
        return root.parent, root
    if not root.is_dir():
        raise InputError(f"{root}: no such folder or file; give the one that holds your data sets")
    return root, None


def check(root: Path, body: BodyModel, reading: Reading = AS_STORED) -> Iterator[DatasetReport]:
    """Yield a report on each data set below a folder, then on each file that no reader can open.

    `reading` says how the pictures are opened; see `find_all` for the error.
    """
    used, said = set[str](), ""
    for found in track(find_all(root), "checking"):
        report = _report(found, _name(found, used), body, reading)
        said += "\n".join(finding.text for finding in report.findings) + "\n"
        yield report
    folder, file = _folder_and_file(root)
    with walked_once(file):
        strays = [(path, why) for path, why in unreadable(folder) if str(path) not in said]
    for path, why in strays:
        found = Found("", NOT_READABLE, path, "preview")
        yield DatasetReport(found, path.name, [Finding("wrong", why)])


def _report(found: Found, name: str, body: BodyModel, reading: Reading) -> DatasetReport:
    entry = Dataset(found.adapter, found.split, found.source, found.options)
    contents = _contents(found)
    try:
        samples = datasets.read(name, entry, body, str(found.source))
    except InputError as error:
        return DatasetReport(found, name, [Finding("wrong", str(error))], contents)
    tested, compared = inspect(samples, body, reading)
    findings = [*_counts(samples, found), *fit_findings(samples, _file_of(found)), *tested]
    if found.split == "test" and not samples.is_measurable():
        findings.append(Finding("note", "no 3D joints either: no error can be measured on it"))
        found = replace(found, split="preview")
    return DatasetReport(found, name, findings, contents, samples, compared)


def as_text(report: DatasetReport) -> Iterator[str]:
    """Yield the lines of a report for people."""
    found, samples = report.found, report.samples
    rows = "cannot be ingested" if samples is None else f"{len(samples):,} samples"
    yield f"{found.source}"
    if found.adapter:
        yield f"  {found.adapter}: {found.layout}, {found.split}: {rows}"
    else:
        yield f"  {found.layout}"
    for key, what in report.contents.items():
        yield f"    {key}: {what}"
    for finding in sorted(report.findings, key=lambda f: f.kind == "note"):
        yield f"  {'WRONG' if finding.kind == 'wrong' else 'note '}  {finding.text}"
    if report.samples is not None:
        yield f"  compared: {total([report.compared])}"
    if not report.wrong:
        for section, entry in entries_yaml(report):
            yield f"  put into params.yaml, under {section}:"
            yield from (f"    {line}" for line in entry.splitlines())


def verdict(root: Path, reports: list[DatasetReport]) -> str:
    """Return the last lines on all reports: what was compared, and whether all is in order."""
    recognised = [report for report in reports if report.found.adapter]
    wrong = [report.name for report in reports if report.wrong]
    if not recognised:
        names = ", ".join(datasets.adapters())
        broken = f"; no reader can open {', '.join(wrong)}" if wrong else ""
        layouts = f"For their layouts see docs/data.md{broken}"
        return f"{root}: no data set recognised; known are {names}. {layouts}"
    return f"compared: {total(report.compared for report in recognised)}\n" + (
        f"{len(recognised)} data sets, "
        + (f"wrong: {', '.join(wrong)}" if wrong else "all in order")
    )


def draw(
    report: DatasetReport, body: BodyModel, folder: Path, reading: Reading = AS_STORED
) -> None:
    """Write a contact sheet of a data set: joints and body over the images."""
    if report.samples is not None and len(report.samples):
        save_picture(
            overlay_sheet(report.samples, body, SHEET_SAMPLES, SHEET_PX, reading),
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
                "compared": report.compared,
                "wrong": report.wrong,
                "findings": [asdict(finding) for finding in report.findings],
            }
            for report in reports
        ],
        indent=2,
        default=str,
    )


def entries_yaml(report: DatasetReport) -> Iterator[tuple[str, str]]:
    """Yield the sections of params.yaml and the entries that a data set needs in them.

    Recordings are fitted by a stage of their own, from which their data set is then read.
    """
    found, name = report.found, report.name
    adapter, source, options = found.adapter, str(found.source), found.options
    if adapter in ENDINGS:
        fit = {key: value for key, value in options.items() if key in RECORDING_FIT}
        yield "fits", _yaml({name: {"adapter": adapter, "source": source, "options": fit}})
        adapter, source = "amass", f"data/fits/{name}"
        options = {key: value for key, value in options.items() if key not in fit}
    entry = {"adapter": adapter, "split": found.split, "source": source, "options": options}
    yield "datasets", _yaml({name: entry})


def _yaml(entries: dict[str, Any]) -> str:
    stream = StringIO()
    YAML().dump(_plain(entries), stream)
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
        if what != "rows" and (count or what.startswith("fits of ")):
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
    path = _file_of(found)
    if path.suffix != ".npz" or not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: f"{archive[key].dtype} {archive[key].shape}" for key in archive.files}
    except Exception:  # reading the file as samples gives the error
        return {}


def _file_of(found: Found) -> Path:
    """Return the annotation file of an entry, or its source."""
    named = found.options.get("file")
    return found.source / str(named) if named and found.source.is_dir() else found.source


def _name(found: Found, used: set[str]) -> str:
    """Return an unused name for the data set; test sets have the names in the paper's tables."""
    base = found.adapter if found.split == "test" else f"{found.adapter}_train"
    names = (base if number == 1 else f"{base}_{number}" for number in itertools.count(1))
    name = next(name for name in names if name not in used)
    used.add(name)
    return name
