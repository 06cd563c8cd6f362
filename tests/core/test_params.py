"""params.yaml: strict sections, errors that name the key, and the project's own file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from ruamel.yaml import YAML

from pmnet.clustering.options import Cluster
from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.core.errors import InputError
from pmnet.datasets import Dataset, adapters, amass, synthetic
from pmnet.evaluation.options import Evaluate
from pmnet.images.options import Images
from pmnet.report.options import FigureSize, PageOptions, Pictures, ReportOptions, VectorFormat
from pmnet.training.options import Train

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Inner:
    low: float
    high: float


@dataclass(frozen=True)
class Section:
    count: int
    rate: float
    name: str
    on: bool
    kind: Literal["a", "b"]
    inner: Inner
    seeds: list[int]
    shares: dict[str, float]
    source: Path
    maximum: int | None
    anything: dict[str, Any]


GOOD = """
section:
  count: 3
  rate: 1e-5
  name: some name
  on: true
  kind: b
  inner: {low: -1, high: 2.5}
  seeds: [0, 1]
  shares: {stand: 3, walk: 0.5}
  source: data/here
  maximum:
  anything: {x: [1, {y: null}]}
other: 1
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    return path


def with_line(file: Path, before: str, after: str) -> Path:
    """Return the file with one line changed."""
    assert before in GOOD
    file.write_text(GOOD.replace(before, after))
    return file


def test_a_section_becomes_its_dataclass(file):
    section = params.load(file, "section", Section, {})
    assert section == Section(
        count=3,
        rate=1e-5,
        name="some name",
        on=True,
        kind="b",
        inner=Inner(low=-1.0, high=2.5),
        seeds=[0, 1],
        shares={"stand": 3.0, "walk": 0.5},
        source=Path("data/here"),
        maximum=None,
        anything={"x": [1, {"y": None}]},
    )
    for number in (section.rate, section.inner.low, section.shares["stand"]):
        assert isinstance(number, float)


def test_an_inner_section_is_read_by_its_dotted_name(file):
    assert params.load(file, "section.inner", Inner, {}) == Inner(-1.0, 2.5)
    assert params.read(file, "section.shares.walk") == 0.5


@pytest.mark.parametrize(
    ("before", "after", "where", "message"),
    [
        ("count: 3", "count: 3.0", "section.count", "expected int, got 3.0"),
        ("count: 3", "count: true", "section.count", "expected int, got True"),
        ("count: 3", "count: '3'", "section.count", "expected int, got '3'"),
        ("count: 3", "count:", "section.count", "expected int, got None"),
        ("count: 3", "cuont: 3", "section.cuont", "unknown parameter; known are: count, rate,"),
        ("  count: 3\n", "", "section.count", "missing"),
        ("rate: 1e-5", "rate: fast", "section.rate", "expected float, got 'fast'"),
        ("rate: 1e-5", "rate: false", "section.rate", "expected float, got False"),
        ("name: some name", "name: 7", "section.name", "expected str, got 7"),
        ("on: true", "on: 1", "section.on", "expected bool, got 1"),
        ("on: true", "on: yes", "section.on", "expected bool, got 'yes'"),  # YAML 1.2
        ("kind: b", "kind: c", "section.kind", "'c' is not one of a, b"),
        ("kind: b", "kind: [a]", "section.kind", r"\['a'\] is not one of a, b"),
        ("{low: -1, high: 2.5}", "{low: -1}", "section.inner.high", "missing"),
        ("high: 2.5}", "high: 2.5, mid: 0}", "section.inner.mid", "unknown parameter"),
        ("{low: -1, high: 2.5}", "5", "section.inner", "expected a section, got 5"),
        ("[0, 1]", "[0, x]", r"section.seeds\[1\]", "expected int, got 'x'"),
        ("[0, 1]", "0", "section.seeds", "expected a list of int, got 0"),
        ("walk: 0.5", "walk: much", "section.shares.walk", "expected float, got 'much'"),
        ("{stand: 3, walk: 0.5}", "[3]", "section.shares", r"expected a mapping, got \[3\]"),
        ("source: data/here", "source: 5", "section.source", "expected Path, got 5"),
        ("maximum:", "maximum: many", "section.maximum", "expected int, got 'many'"),
        ("anything: {x: [1, {y: null}]}", "anything: 1", "section.anything", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(file, before, after, where, message):
    with_line(file, before, after)
    with pytest.raises(InputError, match=f"^{file}: {where}: {message}"):
        params.load(file, "section", Section, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E+3", 1e3),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("-2", -2.0),
    ],
)
def test_floats_are_those_of_yaml_1_2(file, text, value):
    with_line(file, "rate: 1e-5", f"rate: {text}")
    assert params.load(file, "section", Section, {}).rate == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "section is missing; the keys there are: none"),
        ("- 1", "section is missing; the keys there are: none"),
        ("other: 1\nmore: 2", "section is missing; the keys there are: other, more"),
        ("section: [1", "not valid YAML"),
        ("section: {a: 1, a: 2}", "not valid YAML"),
    ],
)
def test_files_without_the_section(file, text, message):
    file.write_text(text)
    with pytest.raises(InputError, match=f"^{file}: {message}"):
        params.load(file, "section", Section, {})


def test_a_section_inside_a_number_and_a_missing_file(file, tmp_path):
    with pytest.raises(InputError, match=r"section\.count\.x is missing; the keys there are: none"):
        params.read(file, "section.count.x")
    with pytest.raises(InputError, match=r"nowhere\.yaml: not found; run the command where"):
        params.read(tmp_path / "nowhere.yaml", "section")
    file.write_bytes(b"section: \xff\xfe")
    with pytest.raises(InputError, match="not valid YAML"):
        params.read(file, "section")


def test_overrides_replace_values_that_are_there(file):
    changes = {"count": 9, "inner.low": 0, "shares.walk": 2, "seeds": [5], "anything.x": "new"}
    section = params.load(file, "section", Section, changes)
    assert (section.count, section.inner.low, section.seeds) == (9, 0.0, [5])
    assert section.shares == {"stand": 3.0, "walk": 2.0} and section.anything == {"x": "new"}
    assert params.load(file, "section", Section, {}).count == 3  # the file stays as it is


@pytest.mark.parametrize("dotted", ["cuont", "inner.mid", "count.x", "shares.fly", "seeds.0"])
def test_an_override_of_something_else_is_refused(file, dotted):
    with pytest.raises(InputError, match=f"^{file}: section.{dotted} is not a parameter"):
        params.load(file, "section", Section, {dotted: 1})


def test_an_override_is_checked_like_the_file(file):
    with pytest.raises(InputError, match=r"section.count: expected int, got 1.5"):
        params.load(file, "section", Section, {"count": 1.5})


# --- the project's own file


SECTIONS = {
    "machine": Machine,
    "images": Images,
    "cluster": Cluster,
    "train": Train,
    "evaluate": Evaluate,
    "report": ReportOptions,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_projects_sections_are_those_of_the_dataclasses(section):
    kind = SECTIONS[section]
    loaded = params.load(ROOT / "params.yaml", section, kind, {})
    assert isinstance(loaded, kind) and set(vars(loaded)) == set(get_type_hints(kind))


def test_the_projects_data_sets_and_figures_parse():
    file = ROOT / "params.yaml"
    options = {name: getattr(globals().get(name), "Options", None) for name in adapters()}
    for name in params.read(file, "datasets"):
        entry = params.load(file, f"datasets.{name}", Dataset, {})
        parsed = params.parse(options[entry.adapter], entry.options, name)
        assert parsed.view.margin + parsed.view.margin_spread + parsed.view.shift <= 1
    kinds = {"vector": VectorFormat, "page": PageOptions}
    for name, value in params.read(file, "figures").items():
        kind = kinds.get(name, Pictures if "bodies" in value else FigureSize)
        assert params.load(file, f"figures.{name}", kind, {})


def test_every_section_of_the_projects_file_is_known():
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    others = {"body", "fits", "datasets", "sweeps", "figures", "comparators"}
    assert set(values) == set(SECTIONS) | others
    assert {adapter.__name__.split(".")[-1] for adapter in (amass, synthetic)} <= set(adapters())
