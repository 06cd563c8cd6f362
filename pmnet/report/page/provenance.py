"""Where the numbers of a page come from: the last commit of code and settings, dvc.lock, the machine."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pmnet.core.errors import InputError
from pmnet.core.yaml_files import read_yaml

LOCK: Final = Path("dvc.lock")
PACKAGES: Final = ("pmnet", "torch", "torchvision", "numpy", "pandas", "smplx", "dvc")
CODE: Final = ("pmnet", "stages", "dvc.yaml", "params.yaml")  # what a revision is of


def provenance(files: Iterable[Path]) -> dict[str, Any]:
    """Return where `files` come from: revision, settings, seeds, machine, versions, hashes.

    The settings and the hash of the lock are of the stages of dvc.lock that lead to the files; without
    such a lock the hash is of the files themselves.
    """
    read = sorted(files)
    upstream = _upstream(_stages_of_lock(), read)
    settings = {
        name: value
        for entry in upstream.values()
        for values in entry.get("params", {}).values()
        for name, value in values.items()
    }
    return {
        "revision": revision(),
        "settings": dict(sorted(settings.items())),
        "stages": len(upstream),
        "lock_sha256": _lock_hash(upstream) if upstream else "",
        "files_sha256": _files_hash(read),
        "machine": machine(),
        "versions": dict(versions()),
    }


def revision() -> dict[str, Any]:
    """Return the last commit that changed code or settings; empty outside of a Git repository.

    It is not the commit that holds the page, which cannot be known. `changed` says whether code or settings
    differ from it.
    """
    root = Path(__file__).resolve().parents[3]
    commit = _git(root, "log", "-1", "--format=%H %cs", "--", *CODE).split()
    if len(commit) != 2:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *CODE)
    return {"commit": commit[0], "date": commit[1], "changed": bool(changed)}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> str:
    """Return processor, cores, memory and operating system of this machine, as one text."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.machine()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def versions() -> Iterator[tuple[str, str]]:
    """Yield the names and versions of Python and of the packages that numbers depend on."""
    yield "python", ".".join(map(str, sys.version_info[:3]))
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _stages_of_lock() -> dict[str, Any]:
    """Return the stages of dvc.lock in this folder; none without a lock that can be read."""
    try:
        stages = read_yaml(LOCK)["stages"] if LOCK.is_file() else {}
    except (InputError, KeyError, TypeError):
        return {}
    return dict(stages) if isinstance(stages, dict) else {}


def _upstream(stages: dict[str, Any], files: Iterable[Path]) -> dict[str, Any]:
    """Return the entries of the stages that made the files, and of all stages before them."""
    makers = {out["path"]: name for name, entry in stages.items() for out in entry.get("outs", [])}
    found: dict[str, Any] = {}
    todo = [path.as_posix() for path in files]
    while todo:
        path = todo.pop()
        for out, name in makers.items():
            if name not in found and (out == path or out.startswith(f"{path}/")):
                found[name] = stages[name]
                todo += [dep["path"] for dep in stages[name].get("deps", [])]
    return dict(sorted(found.items()))


def _lock_hash(upstream: dict[str, Any]) -> str:
    """Return the sha256 of commands, settings, and hashes of the data that the stages read and wrote.

    Code is left out: an edit that changes no output does not run the page again.
    """
    kept = {
        name: {
            "cmd": " ".join(str(entry.get("cmd")).split()),
            "params": entry.get("params", {}),
            "data": {
                part["path"]: part.get("md5")
                for part in (*entry.get("deps", []), *entry.get("outs", []))
                if not part["path"].startswith(("pmnet/", "stages/"))
            },
        }
        for name, entry in upstream.items()
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def _files_hash(files: Iterable[Path]) -> str:
    """Return the sha256 of the names and contents of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def provenance_html(facts: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    """Return a list of where the numbers come from, and the settings that led to them."""
    revision = facts["revision"]
    code = "not in a Git repository"
    if revision:
        changed = ", with changes that are not committed" if revision["changed"] else ""
        code = f"<code>{revision['commit'][:12]}</code> of {revision['date']}{changed}"
    lock = (
        f"<code>{facts['lock_sha256'][:16]}</code>, {facts['stages']} stages lead to this page"
        if facts["lock_sha256"]
        else "made without dvc.lock"
    )
    settings = facts["settings"]
    seeds = "; ".join(f"{name} {value}" for name, value in settings.items() if "seed" in name)
    shown = "; ".join(f"{run['label']}: seed {run['seed']}" for run in runs)
    rows = {
        "Code and settings": code,
        "dvc.lock (sha256 of what led here)": lock,
        "Files read (sha256)": f"<code>{facts['files_sha256'][:16]}</code>",
        "Seeds": escape(seeds),
        "Networks of the samples": escape(shown),
        "Machine": escape(facts["machine"]),
        "Versions": escape(", ".join(f"{name} {v}" for name, v in facts["versions"].items())),
    }
    listed = "".join(
        f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in rows.items() if text
    )
    if not settings:
        return f'<dl class="provenance">{listed}</dl>'
    lines = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(json.dumps(value, default=str))}</dd></div>"
        for name, value in settings.items()
    )
    return (
        f'<dl class="provenance">{listed}</dl><details><summary>All settings that led here</summary>'
        f'<dl class="settings">{lines}</dl></details>'
    )
