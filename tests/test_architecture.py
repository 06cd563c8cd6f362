"""docs/architecture.md tells the truth about the tree."""

import re
from pathlib import Path

import pytest
from import_closure import ROOT
from ruamel.yaml import YAML

PAGE = (ROOT / "docs/architecture.md").read_text()
MADE = ("runs/", "reports/", ".work/")  # what stages write, not what git keeps
PICTURES = {"parts", "prototypes", "gallery", "contact_sheet", "page_samples"}
TABLES = {"table", "curves", "summary", "figure", "page"}
GROUPS = {"pictures": PICTURES, "reports": TABLES | PICTURES}


def rows_of(title: str) -> list[list[str]]:
    """Return the cells of the table below a title."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


FOLDERS = {row[0].strip("`/").removeprefix("pmnet/"): row for row in rows_of("The folders")}


def test_every_path_that_is_named_exists():
    named = re.findall(r"`([\w./]+/[\w./]*)`", PAGE) + re.findall(r"`(\w+\.(?:py|yaml|csv))`", PAGE)
    for path in {path for path in named if not path.startswith(MADE)}:
        near = [ROOT / path, *ROOT.glob(f"pmnet/**/{path}"), ROOT / "pmnet" / path]
        assert any(place.exists() for place in near), path
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_the_order_is_the_one_that_the_layers_have():
    layers = (ROOT / "tests/test_layers.py").read_text()
    (order,) = re.findall(r'^ORDER = "(.*)"', layers, re.MULTILINE)
    assert f"\nOrder: {order}\n" in PAGE
    listed = [name for name in order.split() if name in FOLDERS]
    assert listed == list(FOLDERS)


def test_every_folder_is_in_the_table():
    folders = {path.parent.name for path in (ROOT / "pmnet").glob("*/__init__.py")}
    assert folders == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_stages_of_a_folder_are_the_ones_in_the_graph(folder):
    written = re.sub(r"\(.*\)", "", FOLDERS[folder][2])
    if not written.startswith("all"):
        words = [word.strip() for word in written.split(",") if word != "none"]
        named = set().union(*(GROUPS.get(word, {word}) for word in words))
        assert stages_with(folder) <= named
        for word in words:
            assert stages_with(folder) & GROUPS.get(word, {word}), f"{word} does not need it"


def stages_with(folder: str) -> set[str]:
    """Return the scripts of stages that depend on a folder of pmnet, or on a file in it."""
    found = set()
    for entry in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values():
        entry = entry.get("do", entry)
        if any(f"{dep}/".startswith(f"pmnet/{folder}/") for dep in entry["deps"]):
            found |= {Path(dep).stem for dep in entry["deps"] if dep.startswith("stages/")}
    return found
