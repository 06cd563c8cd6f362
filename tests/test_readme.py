"""What README.md and docs/ quote was printed by the commands that they name, and the example runs."""

import csv
import json
import re
import statistics

import pytest
import torch
from import_closure import ROOT

README = (ROOT / "README.md").read_text()
CLUSTERING = (ROOT / "docs/clustering.md").read_text()
FINDINGS = (ROOT / "docs/findings.md").read_text()
TRAINING = (ROOT / "docs/training.md").read_text()


def quoted(text: str) -> str:
    """Return text without the marks and line ends of a quotation."""
    return " ".join(text.replace("\n> ", " ").split())


def test_the_claim_is_the_one_that_was_printed():
    claim = json.loads((ROOT / "reports/open/claim.json").read_text())
    assert claim["sentence"] in quoted(README)
    assert claim["sentence"] in quoted(FINDINGS)


@pytest.mark.parametrize(
    ("label", "run"),
    [
        ("single", "single"),
        ("K-Means Naive, K = 50", "naive_k50"),
        ("Random Select, K = 50", "random_k50"),
        ("3DH, K = 50", "3dh_k50"),
        ("P3DH, K = 50", "p3dh_k50_l5.0"),
        ("single, 20,000 steps", "single_long"),
        ("P3DH, 20,000 steps", "p3dh_long"),
        ("single, pretrained encoder", "single_pretrained"),
        ("P3DH, pretrained encoder", "p3dh_pretrained"),
    ],
)
def test_the_errors_of_tuned_methods_are_means_over_seeds(label, run):
    seeds = [row for row in read_csv("open/tables/seeds.csv") if row["run"] == run]
    expected = []
    for metric in ("mpvpe_mm", "pa_mpjpe_mm"):
        for subset in ("all", "tail_10", "tail_5"):
            values = [float(row[metric]) for row in seeds if row["subset"] == subset]
            expected.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
    short = not run.endswith(("_long", "_pretrained"))  # findings show these by their gains
    for page in (README, FINDINGS) if short else (README,):
        assert f"| {label} | {' | '.join(expected)} |" in page


def test_every_interval_of_the_findings_is_in_a_table():
    """A loss may be written as one: 4.3 mm [0.7, 8.7] worse is a gain of -4.3 [-8.7, -0.7]."""
    names = {
        "paired.csv": ("gain_mm", "low_mm", "high_mm"),
        "density.csv": ("reduction_mm", "reduction_low", "reduction_high"),
        "density_effect.csv": ("sparse_minus_dense_mm", "low_mm", "high_mm"),
    }
    known = set()
    for table, columns in names.items():
        for row in read_csv(f"open/tables/{table}"):
            if row[columns[0]] and row[columns[1]]:
                gain, low, high = (float(row[name]) for name in columns)
                known |= {rounded(gain, low, high), rounded(-gain, -high, -low)}
    page = FINDINGS.partition("## 1. ")[2].partition("\n## 7. ")[0]
    number = r"([+-]?\d+\.\d)"
    written = re.findall(
        rf"{number}(?: mm)?(?: lower| better| worse)? \[{number}, {number}\]", page
    )
    assert len(written) > 30
    for found in written:
        assert any(map(near(found), known)), found


def rounded(*numbers: float) -> tuple[float, ...]:
    return tuple(round(number, 2) for number in numbers)


def near(found: tuple[str, ...]):
    values = [float(text) for text in found]
    return lambda row: all(abs(a - b) < 0.0551 for a, b in zip(values, row, strict=True))


def test_errors_by_k_and_limb_weight_are_those_of_the_tables():
    rows = {row["run"]: row for row in read_csv("open/tables/paired.csv") if of_all(row)}
    for k in (5, 10, 50, 100, 500, 1000):
        cells = [f"{float(rows[f'p3dh_k{k}_l5.0']['mean_mm']):.1f}"]
        assert re.search(rf"^\| {k}( \(the paper's\))? \| {cells[0]} \|", FINDINGS, re.MULTILINE)
    limbs = [float(rows[f"p3dh_k50_l{weight}.0"]["mean_mm"]) for weight in (1, 3, 5, 7, 10)]
    *first, last = (f"{error:.1f}" for error in limbs)
    assert f"give {', '.join(first)} and {last} mm over all" in FINDINGS


def of_all(row: dict[str, str]) -> bool:
    return (row["subset"], row["metric"]) == ("all", "mpvpe")


def test_the_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.splitlines()) <= 10
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    memory, nearest = names["memory"], names["nearest"]
    assert torch.equal(nearest, memory.assignments[:5])
    assert capsys.readouterr().out == f"torch.Size([5, 24, 3]) {memory.sizes.tolist()}\n"
    assert sum(memory.sizes) == 1000


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 180
    for page in (README, *((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"):
        text, folder = (page, ROOT) if isinstance(page, str) else (page.read_text(), page.parent)
        for link in re.findall(r"\]\(([^):#]+)\)", text):
            assert (folder / link).exists(), link


def read_csv(path: str) -> list[dict[str, str]]:
    with (ROOT / "reports" / path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def rows_of(table: str) -> list[dict[str, str]]:
    return read_csv(f"benchmarks/{table}")


def numbers_after(label: str) -> list[float]:
    """Return the numbers of a row of the README's tables."""
    (cells,) = re.findall(rf"^\| {re.escape(label)} \| (.*) \|$", README, re.MULTILINE)
    return [float(cell) for cell in cells.split(" | ")]


@pytest.mark.parametrize(
    ("label", "table", "method", "subset"),
    [
        ("constant predictor (the mean body)", "table2", "Constant predictor (mean body)", "all"),
        ("single prototype", "table2", "Single prototype (baseline)", "all"),
        ("P3DH, K = 24", "table2", "P3DH K-Means", "all"),
        ("P3DH, given the right prototype", "table2", "Oracle prototype", "all"),
        ("single prototype, farthest 10 %", "table4", "Single prototype (baseline)", "tail_10"),
        ("P3DH, farthest 10 %", "table4", "PM-Net (P3DH)", "tail_10"),
    ],
)
def test_errors_of_the_default_are_those_of_the_tables(label, table, method, subset):
    rows = [
        row
        for row in read_csv(f"tables/{table}.csv")
        if (row["source"], row["method"], row["subset"], row["metric"])
        == ("ours", method, subset, "mpvpe")
    ]
    means = {row["dataset"]: float(row["mean_mm"]) for row in rows}
    assert numbers_after(label) == pytest.approx([*means.values()], abs=0.051)
    assert [*means] == ["open_common", "open_rare"]


@pytest.mark.parametrize(
    ("label", "run"),
    [
        ("single", "single+0.001+10.0+1.0"),
        ("P3DH, K = 50", "p3dh_k50+0.001+10.0+0.0"),
        ("P3DH, K = 5", "p3dh_k5+0.001+10.0+1.0"),
    ],
)
def test_errors_on_validation_are_those_of_the_settings_chosen_there(label, run):
    rows = [row for row in read_csv("open/validation.csv") if row["run"] == run]
    section = FINDINGS.partition("## 6. ")[2].partition("\n## ")[0]
    (chosen,) = (row for row in read_csv("open/tables/validation.csv") if row["run"] == run)
    assert chosen["chosen"] == "True" and chosen["seeds"] == "3"
    cells = []
    for metric, subsets in {
        "mpvpe_mm": ("all", "tail_10", "tail_5"),
        "pa_mpjpe_mm": ("all", "tail_5"),
    }.items():
        for subset in subsets:
            values = [float(row[metric]) for row in rows if row["subset"] == subset]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
    (row,) = re.findall(rf"^\| {re.escape(label)} \| [^|]*(\| .*)\|$", section, re.MULTILINE)
    assert row == f"| {' | '.join(cells)} "


def test_rates_of_training_are_those_of_the_tables():
    rows = rows_of("train_gpu.csv")
    assert {row["what"] for row in rows} >= {"bare_encoder", "pmnet_loop", "spin_style_loop"}
    for row in rows:
        rate, gib = float(row["images_per_s"]), float(row["peak_gib"])
        resident_h100 = row["what"] == "pmnet_loop_resident" and "H100" in row["machine"]
        assert resident_h100 or f"| {rate:,.0f} | {gib:.1f} |" in TRAINING, row


def test_times_of_clustering_on_a_gpu_are_those_of_the_table():
    for row in rows_of("cluster_gpu.csv"):
        if row["method"] != "literal":
            each, gib = float(row["iteration_s"]) * 1e3, float(row["peak_gib"])
            embed_s, samples = float(row["embed_s"]), int(row["samples"])
            assert f"| {samples:,} | {embed_s:.2f} | {each:.1f} | {gib:.1f} |" in CLUSTERING, row


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
    section = CLUSTERING.partition("On two CPU threads")[2]
    quoted_row = section.partition(f"| {called} | ")[2].partition(" |\n")[0].split(" | ")
    assert [float(cell) for cell in quoted_row] == pytest.approx([*map(float, written)], rel=0.04)


@pytest.mark.parametrize(
    ("table", "case"),
    [
        ("predict_gpu.csv", "resnet50_224"),
        ("predict_cpu.csv", "resnet50_224"),
        ("predict_cpu.csv", "squeezenet1_1_64"),
    ],
)
def test_rates_of_predict_are_those_of_the_tables(table, case):
    page = " ".join((ROOT / "docs/use.md").read_text().split())
    rates = {row["what"]: float(row["images_per_s"]) for row in rows_of(table)}
    bare, whole = rates[f"bare_encoder_{case}"], rates[f"predict_{case}"]
    assert f" {100 * whole / bare:.0f} % " in page
    if "gpu" in table:
        assert f"({whole:,.0f} images/s" in page
