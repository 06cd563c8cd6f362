"""MKL's functions are called by one thread before several threads may call them."""

import subprocess
import sys

from import_closure import ROOT

from pmnet.core.vml import FUNCTIONS

COUNTED = """
import torch

called = []

def counted(name, function):
    def call(given):
        called.append((name, given.dtype, len(given)))
        return function(given)
    return call

for name in NAMES:
    setattr(torch, name, counted(name, getattr(torch, name)))
import pmnet.body.rotations
print(sorted((name, str(kind)) for name, kind, count in called if count == 1))
"""


def test_rotations_are_imported_after_one_call_of_each_function():
    code = COUNTED.replace("NAMES", repr(FUNCTIONS))
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kinds = ("torch.float32", "torch.float64")
    assert said.strip() == str(sorted((name, kind) for name in FUNCTIONS for kind in kinds))
