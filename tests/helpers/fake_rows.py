"""A folder laid out as the graph leaves it, with stages that write what a row writes without training."""

import json
import shutil
from pathlib import Path
from typing import Any

from import_closure import ROOT
from ruamel.yaml import YAML

FILES = ("data/body.npz", "data/samples.arrow", "data/images.arrow")
# train: notes its command; row: the errors of a run that is called by its name and seed
TRAIN = """
import sys
from pathlib import Path
given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
out, seed = Path(given["--out"]), given["--seed"]
with open("trained", "a") as notes:
    print(*sys.argv[2:], file=notes)
if any("fail" in word for word in sys.argv[2:]):
    sys.exit("error: it was to fail")
out.mkdir(parents=True, exist_ok=True)
(out / f"seed_{seed}.pt").write_text(" ".join(sys.argv[2:]))
(out / f"seed_{seed}.csv").write_text("step,loss")
"""
ROW = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests/helpers")!r}]
del sys.modules["pmnet"]  # that of this folder
from fake_errors import frame_of, write
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = frame_of(given["--name"], 0.1, samples=3, seeds=1)
sets = [word for option, word in zip(sys.argv, sys.argv[1:]) if option == "--sets"]
write(Path(given["--out"]), rows.assign(seed=int(given["--seed"]), sequence=" ".join(sets)))
"""


def write_folder(folder: Path, memories: list[Path], settings: dict[str, dict[str, Any]]) -> None:
    """Write what `pmnet sweep` reads of a project; `settings` change sections of params.yaml."""
    for file in FILES:
        (folder / file).parent.mkdir(exist_ok=True, parents=True)
        (folder / file).write_text(file)
    shutil.copy(ROOT / "dvc.yaml", folder)
    sets = {"samples": [FILES[1]], "images": [FILES[2]]}
    for name in ("train", "validation", "test"):
        (folder / f"data/{name}.json").write_text(json.dumps(sets))
    for memory in memories:
        (folder / memory).parent.mkdir(parents=True)
        (folder / memory).write_text(str(memory))
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    for section, changed in settings.items():
        values[section] |= changed
    with (folder / "params.yaml").open("w") as stream:
        YAML(typ="safe").dump(values, stream)


def write_stages(folder: Path) -> None:
    """Write stages and code of their own in the place of pmnet's."""
    for name in ("core", "formats", "body", "data", "images", "memory", "model", "training"):
        (folder / "pmnet" / name).mkdir(parents=True)
        (folder / "pmnet" / name / "code.py").write_text(name)
    for name in ("evaluation", "runs"):
        (folder / "pmnet" / name).mkdir()
    (folder / "pmnet/runs/row.py").write_text(ROW)
    (folder / "stages").mkdir()
    (folder / "stages/__main__.py").write_text(TRAIN)
    (folder / "stages/train.py").touch()
