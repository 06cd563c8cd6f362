"""MKL's vector functions, by which torch computes sines and roots on a CPU, are called by one thread first.

MKL 2024.2, which the wheels of torch contain, looks a function up when it is called first. Where several
threads make this call at once, one of them may get a variant of low accuracy for its part of the numbers:
sines are then off by up to 2e-4, in this one call, in some runs (pytorch/pytorch#188792).
"""

from typing import Final

import torch

FUNCTIONS: Final = [
    "acos",
    "asin",
    "atan",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]


def call_each_once() -> None:
    """Call each function by this thread alone; whoever computes in several threads does so after it."""
    for precision in (torch.float32, torch.float64):
        one = torch.full((1,), 0.5, dtype=precision)
        for name in FUNCTIONS:
            getattr(torch, name)(one)
