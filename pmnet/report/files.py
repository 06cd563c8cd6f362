"""CSV files of the reports."""

from pathlib import Path

import pandas as pd

from pmnet.core.files import replacing


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all: two decimals, `value` as short as it goes, NaN empty."""
    texts = frame.copy()
    for name in frame.select_dtypes("float").columns:
        shape = "{:g}" if name == "value" else "{:.2f}"
        texts[name] = [shape.format(x + 0.0) if x == x else "" for x in frame[name].round(2)]
    with replacing(path) as partial:
        texts.to_csv(partial, index=False, lineterminator="\n")
