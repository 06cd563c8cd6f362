"""The graph of experiments: sweeps/dvc.yaml, a row per experiment and seed, in a DVC project of its own.

The project lies beside the graph of the profile, so that hundreds of rows neither slow `dvc status` there nor
run with `dvc repro`, and it needs no git: a GPU that is lent for an hour has none. Its rows depend on files
of the profile, on the settings of each row, and on the code of training and evaluation; both are written as
small files, since DVC would count what Python leaves in folders outside of its project.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from pmnet.core import params
from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.stage import PARAMS
from pmnet.core.yaml_files import read_yaml
from pmnet.data.sets import Split, pairs_of
from pmnet.runs.experiments import SWEEPS, Row

BODY: Final = Path("data/body.npz")
TRAIN_SETS: Final = Path("data/train.json")
GRAPH: Final = Path("dvc.yaml")
CODE: Final = ("pmnet/", "stages/")  # how the paths of code begin in dvc.yaml
SCORING: Final = "pmnet/runs/row.py"  # what a row runs in place of the evaluate stage
CONFIG: Final = """\
[core]
    no_scm = true
    analytics = false
    check_update = false
[cache]
    type = "reflink,hardlink,copy"
"""
WIDTH: Final = 10_000  # of a line: no command is broken
HEAD: Final = "# `pmnet sweep` writes this file anew: a row per experiment and seed.\n"


def sets_file(split: Split) -> Path:
    """Return the list of the data sets of a split."""
    return Path(f"data/{split}.json")


def write_rows(rows: Sequence[Row], splits: Sequence[Split]) -> None:
    """Write the graph of some rows, which are scored on splits, with all that it depends on.

    Files that are as they should be are not touched. Raises InputError where dvc.yaml has other stages
    than this version of pmnet.
    """
    _write(SWEEPS / ".dvc/config", CONFIG)
    for stage in ("train", "evaluate"):
        _write(SWEEPS / _code_file(stage), _json(_hashes(_code_of(stage))))
    for row in rows:
        settings = {
            **asdict(row.settings(PARAMS)),
            "seeds": [],
        }  # those of all seeds of the experiment
        _write(_settings_file(row), _json(settings))
    yaml, text = YAML(), StringIO()
    yaml.width = WIDTH
    yaml.dump(_graph(rows, splits), text)
    _write(SWEEPS / GRAPH, HEAD + text.getvalue())


def _graph(rows: Sequence[Row], splits: Sequence[Split]) -> dict[str, Any]:
    """Return the stages of the rows; paths are seen from the folder of sweeps, commands from above it."""
    sets = [sets_file(split) for split in splits]
    mean = params.read(PARAMS, "evaluate.mean")
    memory = "runs/${item.memory}/memory.npz"
    folder, models = "${item.name}/seed_${item.seed}", "${item.name}/seed_${item.seed}/train"
    given = f"--body {BODY} --memory '{memory}' --seed ${{item.seed}}"
    lists = " ".join(f"--sets {each}" for each in sets)
    weights = [f"{models}/seed_${{item.seed}}.pt", f"{models}/seed_${{item.seed}}.csv"]
    table = {
        row.key: {
            "name": row.name,
            "seed": row.seed,
            "memory": row.memory,
            "set": row.options_of_train,
        }
        for row in rows
    }
    train = {
        "cmd": f"cd .. && python stages train --sets {TRAIN_SETS} {given} --out '{SWEEPS}/{models}'"
        "${item.set}",
        "deps": [
            _code_file("train"),
            "${item.name}/settings.json",
            *_above([BODY, memory, *_files([TRAIN_SETS])]),
        ],
        "outs": weights,
    }
    evaluate = {
        "cmd": f"cd .. && python -m pmnet.runs.row --name '${{item.name}}' {lists} {given}"
        f" --models '{SWEEPS}/{models}' --out '{SWEEPS}/{folder}/errors.parquet'",
        "deps": [
            _code_file("evaluate"),
            weights[0],
            *_above([BODY, memory, mean, *_files(sets)]),
        ],
        "params": [{f"../{PARAMS}": ["evaluate"]}],
        "outs": [f"{folder}/errors.parquet"],
    }
    return {
        "stages": {
            "train_row": {"foreach": table, "do": train},
            "evaluate_row": {"foreach": table, "do": evaluate},
        }
    }


def _above(paths: Sequence[Path | str]) -> list[str]:
    """Return paths as they are seen from the folder of sweeps."""
    return [str(Path("..") / path) for path in paths]


def _files(sets: Sequence[Path]) -> list[Path]:
    """Return lists of data sets, and all files that they name."""
    pairs = [pair for each in sets for pair in pairs_of(each)]
    return [*sets, *(path for pair in pairs for path in pair)]


def _code_of(stage: str) -> list[Path]:
    """Return the files of code that a stage of dvc.yaml depends on."""
    try:
        entry = read_yaml(GRAPH)["stages"][stage]
        deps = entry.get("do", entry)["deps"]
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f"{GRAPH}: no stage {stage} with dependencies; take the dvc.yaml of this version of pmnet"
        ) from None
    names = [str(dep) for dep in deps if str(dep).startswith(CODE)]
    names = [SCORING if name == "stages/evaluate.py" else name for name in names]
    paths = (path for name in names for path in _below(Path(name)))
    return sorted(path for path in paths if "__pycache__" not in path.parts)


def _below(path: Path) -> list[Path]:
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _code_file(stage: str) -> str:
    return f"code_of_{stage}.json"


def _settings_file(row: Row) -> Path:
    return SWEEPS / row.name / "settings.json"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file unless it holds this text."""
    if not path.is_file() or path.read_text(errors="replace") != text:
        with replacing(path) as partial:
            partial.write_text(text)
