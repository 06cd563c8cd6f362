"""Which files of the project a stage runs: the closure of its imports."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# imports its names when they are first used: no stage uses them
PUBLIC_API = ROOT / "pmnet/__init__.py"


def import_closure(start: Path) -> set[str]:
    """Return the project files that importing `start` runs, those with nothing but a docstring left out.

    The public API is left out too: it runs with every import of pmnet, and only names what lies elsewhere.
    """
    seen: set[Path] = set()
    queue = [start]
    while queue:
        path = queue.pop()
        if path in seen or path == PUBLIC_API:
            continue
        seen.add(path)
        for module in _imported(path):
            queue += _files_of(module)
    own = {path for path in seen if not _is_docstring(path)}
    return {path.relative_to(ROOT).as_posix() for path in own}


@cache
def _imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {module for module in modules if module.split(".")[0] in ("pmnet", "stages")}


@cache
def _files_of(module: str) -> list[Path]:
    """Return the files that importing a module runs: those of its packages, then its own."""
    found, parts = [], module.split(".")
    for depth in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:depth])
        found += [p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()]
    return found


@cache
def _is_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
