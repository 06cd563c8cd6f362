"""docs/paper.md: everything that the paper has is on it, and all that it names in the code is there."""

import importlib
import re

import pytest
from import_closure import ROOT
from ruamel.yaml import YAML

PAGE = (ROOT / "docs/paper.md").read_text()
PARAMS = YAML(typ="safe", pure=True).load((ROOT / "paper/params.yaml").read_text())
QUOTED = re.findall(r"`([^`]+)`", PAGE)
SECTIONS = tuple(f"{name}." for name in PARAMS)
SYMBOLS = ("θ", "β", "φ", "V", "J", "J3D", "J2D", "μ", "π", "W", "I", "E", "G", "M", "f", "c", "K")
ROWS = (
    *(f"Eq. {number}" for number in range(1, 6)),
    *(f"Table {roman}" for roman in ("I", "II", "III", "IV", "V", "VI")),
    *("Fig. 1(a)", "Fig. 1(b)", "Fig. 2", "Fig. 3", "Fig. 4", "Fig. 5", "Figs. 6-8", "Algorithm 1"),
)


def found(name: str) -> object:
    """Return what a dotted name of pmnet stands for."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(name)


@pytest.mark.parametrize("row", [*SYMBOLS, *ROWS])
def test_all_that_the_paper_has_is_on_the_page(row):
    assert re.search(rf"^\| {re.escape(row)}(?: = [^|]*)? \|", PAGE, re.MULTILINE)


def test_there_is_no_sixth_equation():
    assert "Eq. 6" not in PAGE


@pytest.mark.parametrize("name", sorted({q for q in QUOTED if q.startswith("pmnet.")}))
def test_every_name_of_the_code_is_there(name):
    assert found(name) is not None


@pytest.mark.parametrize("text", sorted({q for q in QUOTED if q.startswith(SECTIONS)}))
def test_every_parameter_is_there_with_the_value_that_the_page_says(text):
    key, _, value = text.partition(": ")
    at = PARAMS
    for part in key.split("."):
        assert part in at, f"paper/params.yaml has no {key}"
        at = at[part]
    other = {"train.estimator": "spin", "train.estimator_hidden": "1024"}  # what SPIN has
    other["evaluate.distance"] = "heading_free"
    if value and other.get(key) != value:
        assert at == YAML(typ="safe", pure=True).load(value)


def test_the_page_names_enough():
    names = {q for q in QUOTED if q.startswith("pmnet.")}
    assert len(names) > 30
    assert len({q.partition(": ")[0] for q in QUOTED if q.startswith(SECTIONS)}) > 35


def test_files_that_it_writes_are_outputs_of_the_graph():
    graph = (ROOT / "dvc.yaml").read_text()
    for path in (q for q in QUOTED if q.startswith("reports/")):
        stem = re.sub(r"reports/figures/(\w+)\.png", r"reports/figures/\1.png", path)
        named = stem in graph or (
            "reports/figures/${key}.png" in graph and f"      {path[16:-4]}:" in graph
        )
        assert named, path
