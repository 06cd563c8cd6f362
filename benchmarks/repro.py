"""The first run of the project as a user meets it: a fresh clone, `make setup`, `pmnet repro`, and no-op.

    python -m benchmarks.repro                 # writes reports/benchmarks/repro.csv
    python -m benchmarks.repro --installed     # with the packages of this Python: no row `install`

The committed state of this checkout is cloned to a temporary folder. `install`, `total` (install and graph)
and `no-op` (`dvc repro` where nothing has changed, the median of three) are seconds of the clock. `ingest`,
`images`, `cluster`, `train`, `evaluate` and `leaves` (all other stages) are the seconds of all processes of
these stages together: two run side by side, and DVC's own time is in none of them. Processes are looked at
every tenth of a second.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Final

import psutil
import torch

from benchmarks.measuring import machine_name, seconds
from pmnet.core.files import replacing

ROOT: Final = Path(__file__).parents[1]
OUT: Final = ROOT / "reports" / "benchmarks" / "repro.csv"
GROUPS: Final = ("ingest", "images", "cluster", "train", "evaluate")
EVERY_S: Final = 0.1
NO_OPS: Final = 3


def measure(folder: Path, installed: bool) -> dict[str, float]:
    """Return the seconds of each part, of a clone in `folder`."""
    project, rows = folder / "pmnet", dict[str, float]()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(project)
    begun, bin_folder = time.monotonic(), Path(sys.executable).parent
    if not installed:
        subprocess.run(["make", "setup"], cwd=project, env=environment, check=True)
        rows["install"], bin_folder = time.monotonic() - begun, project / ".venv" / "bin"
    environment["PATH"] = os.pathsep.join([str(bin_folder), environment["PATH"]])
    python = str(bin_folder / "python")
    command = [python, "-m", "pmnet", "repro"]
    with subprocess.Popen(command, cwd=project, env=environment) as graph:
        spent = seconds_of_stages(graph)
    if graph.returncode:
        sys.exit(f"pmnet repro failed in {project}")
    rows |= {name: spent[name] for name in GROUPS}
    rows["leaves"] = sum(spent.values()) - sum(spent[name] for name in GROUPS)
    rows["total"] = time.monotonic() - begun
    again = [python, "-m", "dvc", "repro", "-q"]

    def no_op() -> None:
        subprocess.run(again, cwd=project, env=environment, check=True)

    rows["no-op"] = median(seconds(no_op)[0] for _ in range(NO_OPS))
    return rows


def seconds_of_stages(graph: "subprocess.Popen[bytes]") -> Counter[str]:
    """Return the seconds of all processes of each stage, once the process of the graph has ended."""
    top, lives = psutil.Process(graph.pid), dict[tuple[int, float], tuple[str, float]]()
    while graph.poll() is None:
        now = time.time()
        for process in _children(top):
            if (name := _stage_of(process)) and (begun := _start_of(process)):
                lives[process.pid, begun] = name, now - begun
        time.sleep(EVERY_S)
    spent = Counter[str]()
    for name, lived in lives.values():
        spent[name] += lived
    return spent


def _children(top: psutil.Process) -> list[psutil.Process]:
    try:
        return top.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _stage_of(process: psutil.Process) -> str:
    """Return the stage that `python stages STAGE` runs; nothing for another process."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    if len(words) < 3 or Path(words[1]).name != "stages" or "python" not in Path(words[0]).name:
        return ""
    return words[2]


def _start_of(process: psutil.Process) -> float:
    """Return when a process began; 0 where it has ended."""
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--installed", action="store_true", help="use the packages of this Python")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    machine = machine_name(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.installed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.out) as partial, partial.open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["what", "seconds", "machine"])
        table.writerows([what, f"{took:.1f}", machine] for what, took in rows.items())
    print(options.out.read_text(), end="")


if __name__ == "__main__":
    main()
