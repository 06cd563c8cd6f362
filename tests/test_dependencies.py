"""pyproject.toml declares every library that is imported."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from import_closure import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# folder -> the extras that its users install; a folder inside another one has its own
EXTRAS = {
    "pmnet": (),
    "pmnet/body/build": ("build-body",),
    "pmnet/runs": ("slurm",),
    "stages": (),
    "tests": ("dev",),
    "benchmarks": ("bench",),
}
OWN = {"pmnet", "stages", "benchmarks", *(p.stem for p in (ROOT / "tests").rglob("*.py"))}
# triton comes with torch where torch has GPUs; flash_kmeans is a peer that only GPUs run
OPTIONAL = {"triton", "flash_kmeans"}
CALLED = {"faiss": "faiss-cpu", "sklearn": "scikit-learn"}  # not installed for the tests


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extras: tuple[str, ...]) -> set[str]:
    """Return the names of the distributions that an installation with these extras has."""
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}


def folder_of(path: Path) -> str:
    """Return the longest folder of EXTRAS that holds a file."""
    name = path.relative_to(ROOT).as_posix()
    return max((folder for folder in EXTRAS if name.startswith(f"{folder}/")), key=len)


def libraries(path: Path) -> set[str]:
    """Return the top-level names of all that a file imports, anywhere in it, but Python's own."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - OWN - OPTIONAL


@pytest.mark.parametrize("folder", EXTRAS)
def test_what_a_folder_imports_is_declared(folder):
    installed = packages_distributions()
    known = declared(EXTRAS[folder])
    for path in (ROOT / folder).rglob("*.py"):
        if folder_of(path) == folder:
            for name in libraries(path):
                homes = {normal(n) for n in installed.get(name, [CALLED.get(name, name)])}
                assert homes & known, f"{path.relative_to(ROOT)} imports {name}: not declared"


def test_every_declared_library_is_locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {normal(line.split("==")[0]) for line in lines if re.match(r"\w", line)}
    assert declared(("dev",)) <= locked


def test_the_lock_names_no_registry():
    assert not re.search(
        r"://|--(extra-)?index-url|--find-links", (ROOT / "requirements.lock").read_text()
    )
