"""What the README says was printed by the commands that it names."""

import csv
import json

import pytest
from import_closure import ROOT

README = (ROOT / "README.md").read_text()


def quoted(text: str) -> str:
    """Return text without the marks and line ends of a quotation."""
    return " ".join(text.replace("\n> ", " ").split())


def test_the_claim_is_the_one_that_was_printed():
    claim = json.loads((ROOT / "reports/open/claim.json").read_text())
    assert claim["sentence"] in quoted(README)


def rows_of(table: str) -> list[dict[str, str]]:
    with (ROOT / "reports/benchmarks" / table).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    "what", ["bare_encoder", "pmnet_loop", "pmnet_loop_plain", "pmnet_loop_2gpu", "spin_style_loop"]
)
def test_rates_of_training_are_those_of_the_table(what):
    (row,) = (row for row in rows_of("train_gpu.csv") if row["what"] == what)
    rate, gib = float(row["images_per_s"]), float(row["peak_gib"])
    assert f"| {rate:,.0f} | {gib:.1f} |" in README


def test_times_of_clustering_on_a_gpu_are_those_of_the_table():
    for row in rows_of("cluster_gpu.csv"):
        if row["method"] != "literal":
            each, gib = float(row["iteration_s"]) * 1e3, float(row["peak_gib"])
            embed_s, samples = float(row["embed_s"]), int(row["samples"])
            assert f"| {samples:,} | {embed_s:.2f} | {each:.1f} | {gib:.1f} |" in README, row


@pytest.mark.parametrize(
    ("method", "called"),
    [
        ("pmnet", "pmnet"),
        ("sklearn_lloyd", "scikit-learn, Lloyd"),
        ("sklearn_elkan", "scikit-learn, Elkan"),
        ("faiss", "FAISS"),
        ("torch_gemm_fp32", "torch, FP32 GEMM"),
    ],
)
def test_times_of_clustering_on_a_cpu_are_those_of_the_table(method, called):
    rows = {row["k"]: row for row in rows_of("cluster_cpu.csv") if row["method"] == method}
    many = rows["1000"]
    written = many["embed_s"], rows["50"]["iteration_s"], many["iteration_s"], many["peak_gib"]
    section = README.partition("On two CPU threads")[2]
    quoted_row = section.partition(f"| {called} | ")[2].partition(" |\n")[0].split(" | ")
    assert [float(cell) for cell in quoted_row] == pytest.approx([*map(float, written)], rel=0.04)
