"""Time and memory of ingestion: many synthetic rows in SPIN's layouts.

`python -m benchmarks.ingest` writes 300,000 rows to a temporary folder, runs the stage on them in a process
of its own, and prints its seconds (imports and writing included) and its peak memory. `h36m` is one npz
with bodies, 2D and 3D joints, and Human3.6M's image names; `coco` is an npz with 2D joints, and a file of
SPIN's fits, of which some are rejected by shape or by reprojection. All numbers are random.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from pmnet.body import OPEN_BODY
from pmnet.datasets.h36m.names import CAMERAS

ROOT = Path(__file__).parents[1]
GIB = 2**30


def write_h36m(folder: Path, rows: int, drawn: np.random.Generator) -> dict[str, Any]:
    """Write h36m_mosh_train.npz and return the options of its entry."""
    names = [
        f"images/S{(1, 5, 6, 7, 8)[row % 5]}_Walking.{CAMERAS[row // 5 % 4]}_{1 + row // 20:06d}.jpg"
        for row in range(rows)
    ]
    bodies = {"pose": drawn.normal(0, 0.3, (rows, 72)), "shape": drawn.normal(0, 1, (rows, 10))}
    joints = np.concatenate([drawn.normal(0, 0.3, (rows, 24, 3)), np.ones((rows, 24, 1))], 2)
    np.savez(
        folder / "h36m_mosh_train.npz", imgname=names, S=joints, **boxes(rows, drawn), **bodies
    )
    return {
        **{"layout": "spin", "file": "h36m_mosh_train.npz", "images": "images"},
        **{"mosh": None, "subjects": None, "cameras": None, "every": 1, "max_fit_error_mm": 0.0},
    }


def write_coco(folder: Path, rows: int, drawn: np.random.Generator) -> dict[str, Any]:
    """Write coco_2014_train.npz with fits, and return the options of its entry."""
    names = [f"train2014/COCO_train2014_{row // 2:012d}.jpg" for row in range(rows)]
    np.savez(folder / "coco_2014_train.npz", imgname=names, **boxes(rows, drawn))
    np.savez(
        folder / "coco.npz",
        pose=drawn.normal(0, 0.3, (rows, 72)),
        betas=drawn.normal(0, 1.2, (rows, 10)),
        valid_fit=np.ones(rows),
    )
    return {
        **{"layout": "spin", "file": "coco_2014_train.npz", "images": "images"},
        "fits": [{"kind": "spin", "file": "coco.npz"}],
        "reject": {"max_beta": 3.0, "drops": "fit", "max_reprojection": 0.3},
        "min_keypoints": 12,
    }


def boxes(rows: int, drawn: np.random.Generator) -> dict[str, np.ndarray]:
    """Return boxes, 2D joints in them, and detections that are not read."""
    center, scale = drawn.uniform(200, 800, (rows, 2)), drawn.uniform(0.5, 2.5, rows)
    points = center[:, None] + scale[:, None, None] * drawn.normal(0, 40, (rows, 24, 2))
    part = np.concatenate([points, np.ones((rows, 24, 1))], 2)
    return {"center": center, "scale": scale, "part": part, "openpose": np.zeros((rows, 25, 3))}


WRITE: dict[str, Callable[[Path, int, np.random.Generator], dict[str, Any]]] = {
    "h36m": write_h36m,
    "coco": write_coco,
}


def measure(name: str, rows: int) -> tuple[float, float]:
    """Return the seconds that the stage takes on `rows` rows of a layout, and its peak memory in GiB."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "source").mkdir()
        options = WRITE[name](folder / "source", rows, np.random.default_rng(0))
        entry = {"adapter": name, "split": "train", "source": "source", "options": options}
        YAML().dump({"datasets": {name: entry}}, folder / "params.yaml")
        stage = [sys.executable, "-m", "stages.ingest", "--name", name]
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*stage, "--body", str(OPEN_BODY), "--out", "samples.arrow"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"{name}: the stage failed")
        return time.perf_counter() - begun, usage.ru_maxrss * 1024 / GIB


def main() -> None:
    """Measure each layout and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--layouts", nargs="+", choices=WRITE, default=list(WRITE))
    options = parser.parse_args()
    for name in options.layouts:
        took_s, peak_gib = measure(name, options.rows)
        print(
            f"{name}: {options.rows:,} rows in {took_s:.1f} s, at most {peak_gib:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
