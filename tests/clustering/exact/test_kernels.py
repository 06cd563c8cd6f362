"""The kernels of a GPU, where there is none: interpreted, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU runs the kernels: test_cuda.py")
def test_kernels_do_what_operations_of_torch_do():
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(Path(__file__).parents[2] / "helpers/interpreted.py"),
    ]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
