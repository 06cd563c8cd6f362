"""What is in a file: samples, images, a memory, weights, errors, a body model, a table, a report.

Each reader imports its own readers of files: memories, errors and bodies are described without torch, which
takes seconds to import.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pmnet.core.errors import InputError

KEYS_SHOWN: Final = 8
WIDEST: Final = 100  # characters of a value


def describe(file: Path) -> Iterator[str]:
    """Yield lines that say what a file holds; raise InputError where pmnet did not write it."""
    if file.is_dir():
        raise InputError(
            f"{file}: is a folder; name a file in it, or see a folder of data by `pmnet check`"
        )
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    readers: dict[str, tuple[Callable[[Path], Iterator[str]], ...]] = {
        ".arrow": (_samples, _images),
        ".npz": (_memory, _body),
        ".pkl": (_body,),
        ".pt": (_weights,),
        ".parquet": (_errors, _packed_errors),
        ".csv": (_table,),
        ".json": (_json,),
    }
    refusals = []
    for reader in readers.get(file.suffix, ()):
        try:
            yield from list(reader(file))
            return
        except InputError as error:
            refusals.append(str(error))
    raise InputError("; ".join(refusals) or f"{file}: expected one of {', '.join(readers)}")


def _samples(file: Path) -> Iterator[str]:
    import torch

    from pmnet.data.samples import NUMBERS, Samples

    samples = Samples.load(file)
    about = samples.about
    yield f"{file}: {len(samples)} samples of {about.dataset}"
    yield f"joints {about.joints}, pixels from {about.pixels}, body {about.body[:12]}"
    yield f"{len(set(samples.subject))} subjects, {len(set(samples.sequence))} sequences"
    yield from (f"  {count} {what}" for what, count in about.counts.items())
    yield f"with SMPL {int(samples.has_smpl.sum())}, with 3D {int(samples.has_keypoints_3d.sum())}"
    for name, (width, meaning) in NUMBERS.items():
        values = getattr(samples, name)
        known = values[torch.isfinite(values)]
        span = "{:.3f} to {:.3f}".format(*known.aminmax()) if known.numel() else "unknown"
        yield f"  {name} ({width}): {span}; {meaning}"


def _images(file: Path) -> Iterator[str]:
    from pmnet.images.file import Pixels

    pixels = Pixels(file)
    yield f"{file}: {len(pixels)} images of {pixels.size_px} px, {pixels.encoding}"
    yield f"stored with {pixels.context:g} times the box; {int((~pixels.present).sum())} missing"


def _memory(file: Path) -> Iterator[str]:
    import numpy as np

    from pmnet.memory.files import read_memory

    header, arrays = read_memory(file)
    k, distances = len(arrays["betas"]), arrays["distances"]
    sizes = np.bincount(arrays["assignments"], minlength=k)
    yield f"{file}: {k} prototypes of {len(arrays['assignments'])} samples"
    yield f"body {header.body[:12]}, settings {header.settings}"
    yield f"samples per prototype: {sizes.min()} to {sizes.max()}, {(sizes == 0).sum()} empty"
    mean = f"{distances.mean(dtype=np.float64):.4f}" if distances.size else "unknown"
    yield f"{len(header.history)} iterations, mean distance {mean}"
    if header.history:
        yield f"last iteration: {header.history[-1].changed} assignments changed"


def _body(file: Path) -> Iterator[str]:
    from pmnet.body.files import read_body

    arrays = read_body(file)
    yield f"{file}: a body model in SMPL layout"
    for name, array in arrays.items():
        yield f"  {name} {array.shape}"


def _weights(file: Path) -> Iterator[str]:
    from pmnet.model.weights import read_model_file

    saved = read_model_file(file)
    count = sum(value.numel() for value in saved["state"].values())
    yield f"{file}: weights of PM-Net, {count / 1e6:.1f} million numbers"
    yield f"{saved['state']['memory'].shape[0]} prototypes, body {saved['body'][:12]}"
    yield f"settings {saved['settings']}"


def _errors(file: Path) -> Iterator[str]:
    from pmnet.evaluation.error_table import read_errors

    errors = read_errors([file])
    if errors.empty:
        yield f"{file}: errors of no sample"
        return
    first = errors.iloc[0]
    yield f"{file}: errors of run {first['run']}, {first['protocol']}, {first['selection']} selection"
    means = errors.groupby(["dataset", "inference"])[["mpvpe_mm", "mpjpe_mm", "pa_mpjpe_mm"]].mean()
    yield means.round(1).to_string(na_rep="unknown")


def _packed_errors(file: Path) -> Iterator[str]:
    from pmnet.report.benchmark.packed import load_packed

    packed = load_packed([file])
    yield f"{file}: packed errors of {len(packed.samples)} samples, {len(packed.runs)} runs"
    for run, facts in packed.runs.items():
        seeds = ", ".join(map(str, facts.seeds))
        yield f"  {run}: {facts.method}, K = {facts.k}, seeds {seeds}; {', '.join(facts.inferences)}"


def _table(file: Path) -> Iterator[str]:
    import pandas as pd

    try:
        table = pd.read_csv(file)
    except (ValueError, OSError) as error:
        raise InputError(f"{file}: not a readable csv ({error})") from None
    yield f"{file}: a table of {len(table)} rows"
    for name, column in table.items():
        if pd.api.types.is_numeric_dtype(column) and column.notna().any():
            yield f"  {name}: {column.min():g} to {column.max():g}, last {column.iloc[-1]:g}"
        else:
            first = column.dropna().astype(str).unique()[:3]
            yield f"  {name}: {', '.join(first) or 'empty'}"


def _json(file: Path) -> Iterator[str]:
    from pmnet.formats.json import read_json

    content = read_json(file)
    yield f"{file}: JSON, {_kind(content)}"
    for name, value in content.items() if isinstance(content, dict) else ():
        yield f"  {name}: {_kind(value)}"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"{len(value)} keys ({', '.join(list(value)[:KEYS_SHOWN])})"
    if isinstance(value, list):
        same = ", ".join(map(str, value)) if len(value) <= KEYS_SHOWN else "..."
        return f"{len(value)} entries" + (f" ({same})" if len(same) < WIDEST else "")
    return json.dumps(value)[:WIDEST]
