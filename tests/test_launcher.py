"""stages/__main__.py: the key of a DVC stage reaches the stage as it is, and never the shell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def launched(key: str | None, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {} if key is None else {"DVC_STAGE": f"ingest@{key}"}
    words = [sys.executable, str(ROOT / "stages"), "ingest", *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("key", ["it's", "my set", "x;touch pwned;", "$(touch pwned)", "a@b"])
def test_a_name_that_a_shell_would_run_is_refused_and_not_run(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    entry = {"adapter": "synthetic", "split": "train", "source": "x", "options": {}}
    Path("params.yaml").write_text(json.dumps({"datasets": {key: entry}}))
    body = str(ROOT / "pmnet/body/open_smpl.npz")
    done = launched(key, "--name", "{key}", "--body", body, "--out", "{key}.arrow")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"datasets.{key}" in done.stderr and "cannot be a name" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_without_dvc_the_key_has_to_be_written():
    done = launched(None, "--name", "{key}")
    assert done.returncode == 1
    assert "{key} is the key of a DVC stage; by hand write the name itself" in done.stderr
