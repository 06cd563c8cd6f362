"""The committed numbers of the open benchmark, recomputed by numpy and loops from the packed files alone.

Nothing of pmnet is used but the layout that `report/benchmark/packed.py` describes.
"""

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from import_closure import ROOT

FOLDER = ROOT / "reports" / "open"
DRAWS = 2000
WITHIN_MM = 0.01


class Packed:
    """The columns of all packed files, by the names that they have there."""

    def __init__(self) -> None:
        self.files = [pq.ParquetFile(path) for path in sorted(FOLDER.glob("errors*.parquet"))]
        self.about = [json.loads(f.schema_arrow.metadata[b"pmnet.packed"]) for f in self.files]
        names = ["dataset", "sample", "subject", "sequence", "distance_to_mean_mm"]
        first = self.files[0].read(names)
        self.facts = {name: np.array(first[name].to_pylist()) for name in names}

    def errors(self, run: str, metric: str) -> tuple[np.ndarray, list[int]]:
        """Errors in mm by seed and sample, and the clustering seed of each seed."""
        rows: dict[int, np.ndarray] = {}
        memory: dict[int, int] = {}
        for file, about in zip(self.files, self.about, strict=True):
            facts = about["runs"].get(run)
            for place, seed in enumerate(facts["seeds"] if facts else []):
                rows[seed] = sum(
                    self._stored(file, about["same"], f"{run}/{seed}/model/{one}_half_mm")
                    for one in {metric, "mpvpe" if metric == "mpjpe" else metric}
                )
                memory[seed] = facts["memory_seeds"][place]
        return np.array([rows[seed] for seed in sorted(rows)]), [memory[s] for s in sorted(rows)]

    @staticmethod
    def _stored(file: pq.ParquetFile, same: dict[str, str], name: str) -> np.ndarray:
        return np.array(file.read([same.get(name, name)])[0].to_numpy(), float) / 2

    @cache  # noqa: B019 - the packed files live as long as the tests
    def subset(self, dataset: str, name: str) -> np.ndarray:
        """The rows of a subset: the farthest x % of the data set, ties by sample."""
        here = [i for i, own in enumerate(self.facts["dataset"]) if own == dataset]
        if name == "all":
            return np.array(here)
        distance, sample = self.facts["distance_to_mean_mm"], self.facts["sample"]
        here.sort(key=lambda i: (-distance[i], sample[i]))
        return np.array(here[: max(1, len(here) * int(name.removeprefix("tail_")) // 100)])


def nested(generator: np.random.Generator, units_of: dict) -> list:
    """Groups with replacement, then units of each drawn group with replacement."""
    groups, drawn = list(units_of), []
    for place in generator.integers(len(groups), size=len(groups)):
        units = units_of[groups[place]]
        drawn += [units[at] for at in generator.integers(len(units), size=len(units))]
    return drawn


def grouped(groups: list, units: list) -> dict:
    found: dict = {}
    for group, unit in zip(groups, units, strict=True):
        if unit not in found.setdefault(group, []):
            found[group].append(unit)
    return found


def gains_of_draws(packed: Packed, rows: np.ndarray, runs: list, clips_only: bool) -> np.ndarray:
    generator, draws = np.random.default_rng(7), []
    clip_of, who = (packed.facts[name][rows].tolist() for name in ("sequence", "subject"))
    clips = sorted(set(clip_of))
    code = {clip: number for number, clip in enumerate(clips)}
    codes = np.array([code[clip] for clip in clip_of])
    counts = np.bincount(codes, minlength=len(clips))
    sums = [
        [np.bincount(codes, seed, len(clips)) for seed in errors[:, rows]] for errors, _ in runs
    ]
    of_subject = grouped([0] * len(codes) if clips_only else who, codes.tolist())
    of_memory = [grouped(memory, list(range(len(memory)))) for _, memory in runs]
    for _ in range(DRAWS):
        drawn = nested(generator, of_subject)
        size, means = counts[drawn].sum(), []
        for own, memories in zip(sums, of_memory, strict=True):
            seeds = list(range(len(own))) if clips_only else nested(generator, memories)
            means.append(np.mean([own[seed][drawn].sum() / size for seed in seeds]))
        draws.append(means[1] - means[0])
    return np.array(draws)


@pytest.fixture(scope="module")
def packed() -> Packed:
    return Packed()


@pytest.fixture(scope="module")
def table() -> list[dict[str, str]]:
    with Path(FOLDER / "tables" / "paired.csv").open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["gain_mm"]]


def test_all_means_agree_to_a_hundredth_of_a_millimetre(packed, table):
    """Runs of another selection (RUN:INFERENCE) are left to the tests of packed errors."""
    errors: dict = {}
    for row in table:
        if ":" in row["run"] + row["against"]:
            continue
        rows = packed.subset(row["dataset"], row["subset"])
        for run in (row["run"], row["against"]):
            if (run, row["metric"]) not in errors:
                errors[run, row["metric"]] = packed.errors(run, row["metric"])[0].mean(0)
        ours, theirs = (errors[row[name], row["metric"]][rows] for name in ("run", "against"))
        found = ours.mean(), theirs.mean(), (theirs - ours).mean()
        printed = [float(row[name]) for name in ("mean_mm", "against_mm", "gain_mm")]
        assert np.abs(np.array(found) - printed).max() <= WITHIN_MM, (row["run"], row["subset"])


@pytest.mark.parametrize("subset", ["all", "tail_10", "tail_5"])
@pytest.mark.parametrize("suffix", ["", "_clips"])
def test_intervals_of_the_claim_agree_to_the_error_of_chance(packed, table, subset, suffix):
    """The printed bounds are at the 2.5 and 97.5 % of draws made one after another."""
    claim = json.loads((FOLDER / "claim.json").read_text())
    main = next(row for row in table if row["label"].startswith("P3DH") and row["group"] == "main")
    (row,) = (
        row
        for row in table
        if (row["run"], row["against"], row["metric"]) == (main["run"], "single", "mpvpe")
        and (row["dataset"], row["subset"]) == (main["dataset"], subset)
    )
    runs = [packed.errors(row[name], "mpvpe") for name in ("run", "against")]
    rows = packed.subset(row["dataset"], subset)
    draws = gains_of_draws(packed, rows, runs, clips_only=bool(suffix))
    for percent, end in ((2.5, "low"), (97.5, "high")):
        bound = float(row[f"{end}{suffix}_mm"])
        share = (draws < bound).mean()
        assert abs(share - percent / 100) < 0.015, (end, bound, np.percentile(draws, percent))
    cell = claim["gains"]["single"][f"{subset}_mpvpe"]
    said = claim["clips_only"]["single"][f"{subset}_mpvpe"]
    expected = said if suffix else [cell["low_mm"], cell["high_mm"]]
    bounds = [float(row[f"low{suffix}_mm"]), float(row[f"high{suffix}_mm"])]
    assert bounds == pytest.approx(expected, abs=0.0051)  # of two and of three decimals
