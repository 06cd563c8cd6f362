"""The layers: a module imports from below only, and what needs no torch stays without it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from import_closure import ROOT


def package(name: str) -> list[str]:
    """Return the modules of a package of one level."""
    files = sorted((ROOT / "pmnet" / name).glob("*.py"))
    return [name, *(f"{name}.{file.stem}" for file in files if file.stem != "__init__")]


# from the bottom to the top; modules of one group may import each other
LAYERS = [
    ["errors"],
    ["files", "params", "progress"],
    ["rotations", "machine"],
    ["camera"],
    [
        *(
            "body",
            "body.blocks",
            "body.checks",
            "body.files",
            "body.kernels",
            "body.keypoints",
            "body.model",
            "body.params",
        ),
        *("body.parts", "body.pickles"),
    ],
    ["samples", "metrics"],
    [*package("datasets"), *package("images"), *package("memory")],
    ["encoders"],
    ["network"],
    ["losses", "runs"],
    ["checkpoints", "fabric", "processes", "selection"],
    ["prediction"],
    [*package("training"), "evaluation"],
    ["error_files"],
    ["experiments"],
    ["analysis", "markdown"],
    ["tables", "figures"],
    package("findings"),
    ["pictures", "inspection"],
    ["cluster_quality", "gallery", "info", "overlays", "pool"],
    ["checking"],
    ["stage"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SIDES = ("datasets", "images", "memory")  # of one level, but they do not know each other
WITHOUT_TORCH = ("analysis", "tables", "figures", "error_files", "markdown", "findings.writing")


def modules() -> dict[str, Path]:
    """Return the modules of pmnet; the builder of the open body stands apart."""
    found = {}
    for path in sorted((ROOT / "pmnet").rglob("*.py")):
        parts = path.relative_to(ROOT / "pmnet").with_suffix("").parts
        if parts[:2] != ("body", "build"):
            name = ".".join(part for part in parts if part != "__init__")
            found[name or "pmnet"] = path
    return found


def imports(path: Path) -> set[str]:
    """Return the full names of all modules of the project that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if is_module(full) else str(node.module))
    return {name for name in found if name.split(".")[0] in ("pmnet", "stages")}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_every_module_has_a_layer():
    assert set(modules()) - {"pmnet"} == set(LEVEL)


def test_modules_import_from_below_only():
    wrong = []
    for name, path in modules().items():
        for full in imports(path):
            other = full.removeprefix("pmnet.")
            if full.startswith("pmnet.") and LEVEL[other] > LEVEL[name]:
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_data_sets_images_and_memory_do_not_know_each_other():
    wrong = []
    for name, path in modules().items():
        side = name.split(".")[0]
        for full in imports(path) if side in SIDES else ():
            other = full.removeprefix("pmnet.").split(".")[0]
            if other in SIDES and other != side:
                wrong.append(f"{name} imports {full}")
    assert wrong == []


def test_only_the_command_line_knows_the_stages():
    for name, path in modules().items():
        knows = any(full.split(".")[0] == "stages" for full in imports(path))
        assert knows == (name == "cli"), name


def test_a_stage_does_not_know_another():
    for path in (ROOT / "stages").glob("*.py"):
        assert not [full for full in imports(path) if full.startswith("stages")], path.name


def test_nothing_of_the_project_knows_the_builder_of_the_body():
    for path in [*modules().values(), *(ROOT / "stages").glob("*.py")]:
        assert not [full for full in imports(path) if full.startswith("pmnet.body.build")]


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_statistics_and_plots_import_no_torch(name):
    code = f"import pmnet.{name}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
