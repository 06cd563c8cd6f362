"""The layers: a folder imports only from folders before it, and what needs no torch stays without it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from import_closure import ROOT

# from the ground up
ORDER = "core formats body data fitting datasets images check memory clustering model training evaluation report dropin predict runs"  # noqa: E501
AT_THE_ROOT = {"__init__", "__main__", "cli"}
APART = ("datasets", "images", "memory")  # these do not know each other
WITHOUT_TORCH = (
    *("core.params", "core.errors", "core.files", "core.progress"),
    *("evaluation.error_table", "report.statistics", "report.tables", "report.figures"),
    *("report.markdown", "report.benchmark.writing"),
)

LEVEL = {name: level for level, name in enumerate(ORDER.split())}
PACKAGE = ROOT / "pmnet"


def room_of(module: str) -> str:
    """Return the folder of a module of pmnet; "" for a module at the root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


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


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def test_every_folder_has_its_place_and_no_module_lies_beside_them():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(LEVEL)
    assert {path.stem for path in PACKAGE.glob("*.py")} <= AT_THE_ROOT


@pytest.mark.parametrize("room", LEVEL)
def test_a_folder_imports_only_from_folders_before_it(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {full}"
        for path in files_of(room)
        for full in imports(path)
        if not (full.startswith("pmnet.") and LEVEL.get(room_of(full), 99) <= LEVEL[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("room", APART)
def test_data_sets_images_and_memory_do_not_know_each_other(room):
    others = {*APART} - {room}
    for path in files_of(room):
        assert not others & {room_of(full) for full in imports(path)}, path


# recordings are fitted to what learns from `synthetic`, and go on as motions of `amass`
MAY_KNOW = {
    "_recordings": {"synthetic", "amass", "mpi_inf_3dhp"},
    **{adapter: {"_recordings"} for adapter in ("c3d", "trc", "joints")},
}


def test_an_adapter_does_not_know_another():
    for folder in sorted(path for path in (PACKAGE / "datasets").iterdir() if path.is_dir()):
        for path in folder.rglob("*.py"):
            for full in imports(path):
                if full.startswith("pmnet.datasets."):
                    known = {folder.name, "_shared", *MAY_KNOW.get(folder.name, ())}
                    assert full.split(".")[2] in known, f"{path} imports {full}"


def test_a_stage_does_not_know_another():
    for path in (ROOT / "stages").glob("*.py"):
        assert not [full for full in imports(path) if full.startswith("stages")], path.name


def test_nothing_of_the_project_knows_the_builder_of_the_body():
    inside = PACKAGE / "body" / "build"
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        if inside not in path.parents:
            assert not [full for full in imports(path) if full.startswith("pmnet.body.build")]


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_reads_tables_imports_no_torch(name):
    code = f"import pmnet.{name}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
