"""Tables for papers: LaTeX that is sound in structure, and the numbers of the CSV in it."""

import re
import shutil
import subprocess

import fake_errors
import pandas as pd
import pytest

from pmnet.evaluation.phrases import phrase_of
from pmnet.evaluation.protocols import PROTOCOLS
from pmnet.report.labels import DATASET_NAMES
from pmnet.report.latex import ESCAPES, escape, to_latex
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.tables import table2, table3, table4, table5, table6, write_table

REPORT = ReportOptions(tails=[5, 10], bins=4, bootstrap=50, seed=0)
PROTOCOL = "alignment pelvis, hard selection"
HOSTILE = "my_data & 50% #1 {x}~^$<>"
PACKAGES = r"\usepackage[margin=2cm]{geometry}\usepackage{booktabs}"
DOCUMENT = rf"\documentclass[twocolumn]{{article}}{PACKAGES}\begin{{document}}%s\end{{document}}"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[int, pd.DataFrame]:
    """All tables of runs on a data set with a hostile name, and on one of the paper's."""
    folder = tmp_path_factory.mktemp("runs")
    shape = {"datasets": ("other", "h36m"), "samples": 40}
    runs, by_k, by_limb = (
        RunErrors.read(files)
        for files in (
            fake_errors.write_runs(folder, **shape),
            fake_errors.write_sweep(folder, "k", [5, 50], **shape, seeds=1),
            fake_errors.write_sweep(folder, "limb_weight", [1.0, 5.0], **shape),
        )
    )
    made = {
        2: table2(runs, REPORT),
        3: table3(runs, REPORT),
        4: table4(runs, REPORT),
        5: table5(by_k, REPORT),
        6: table6(by_limb, REPORT),
    }
    return {n: table.replace({"dataset": {"other": HOSTILE}}) for n, table in made.items()}


def parsed(text: str) -> list[dict[tuple[str, str, int], str]]:
    """Return the cells of each tabular by data set, method and column, after checking its structure."""
    open_now = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if kind == "begin":
            open_now.append(name)
        else:
            assert open_now.pop() == name
    assert open_now == []
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    blocks = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(l?r+)\}(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        assert re.fullmatch(r"\s*\\toprule\n.*\\bottomrule\n", body, re.DOTALL)
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        cells, dataset = {}, ""
        for row in rows:
            if heading := re.match(r"\\multicolumn\{(\d+)\}\{l\}\{\\bfseries (.*)\} ", row):
                assert int(heading[1]) == len(columns)
                dataset = heading[2]
                continue
            parts = re.split(r"(?<!\\) & ", row.removesuffix(r" \\"))
            assert len(parts) == len(columns)
            method = re.sub(r"\\textsuperscript\{.\}| \(\d{4}\)", "", parts[0])
            cells |= {(dataset, method, place): part for place, part in enumerate(parts[1:])}
        blocks.append(cells)
    return blocks


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_the_numbers_are_those_of_the_csv(tables, number, tmp_path):
    write_table(tables[number], tmp_path / "t.csv", number, PROTOCOL)
    written = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, na_values=[""])
    blocks = parsed((tmp_path / "t.tex").read_text())
    for source, cells in zip(("ours", "published"), blocks, strict=True):
        rows = written[(written["source"] == source) & written["dataset"].notna()]
        expected = {}
        for row in rows.itertuples():
            name = escape(DATASET_NAMES.get(row.dataset, row.dataset))
            expected.setdefault((name, escape(row.method)), []).append(f"{row.mean_mm:.1f}")
        found: dict[tuple[str, str], list[str]] = {}
        for (dataset, method, _), cell in cells.items():
            if dataset and method != "n" and cell != "--":
                found.setdefault((dataset, method), []).append(cell.split()[0])
        assert {key: sorted(values) for key, values in found.items()} == {
            key: sorted(values) for key, values in expected.items()
        }


def test_cells_counts_and_notes(tables):
    ours, published = parsed(to_latex(tables[2], 2, "memories", PROTOCOL))
    row = (
        tables[2]
        .query("method == 'P3DH K-Means' and dataset == 'h36m' and metric == 'mpvpe'")
        .iloc[0]
    )
    cell = "{mean_mm:.1f} [{low_mm:.1f}, {high_mm:.1f}]".format(**row)
    assert ours["Human3.6M", "P3DH K-Means", 0] == cell
    assert ours["Human3.6M", "n", 0] == "40" and re.fullmatch(
        r"40 \(\d+ bins\)", ours["Human3.6M", "n", 1]
    )
    assert published["UP-3D", "P3DH K-Means", 0] == "112.6"
    text = to_latex(tables[3], 3, "systems", PROTOCOL)
    (letter,) = re.findall(r"DecoMR \(2020\)\\textsuperscript\{(.)\} & 78.6", text)
    assert rf"\textsuperscript{{{letter}}} trained on UP-3D." in text
    assert "HKMR: 60.0 in a column" in text
    assert r"\caption{Systems (Table III of PM-Net). MPVPE, MPJPE, PA-MPJPE in mm" in text
    assert f"{PROTOCOL}, 2 seeds" in text


def test_a_wide_table_has_the_spread_over_seeds_instead_of_intervals(tables):
    wide = tables[4].copy()
    more = wide.query("source == 'ours' and subset == 'tail_10'").assign(subset="tail_20")
    wide = pd.concat([wide[wide["source"] == "ours"], more, wide[wide["source"] != "ours"]])
    ours, _ = parsed(text := to_latex(wide, 4, "tails", PROTOCOL))
    row = wide.query("method == 'PM-Net (P3DH)' and dataset == 'h36m' and subset == 'tail_5'").iloc[
        0
    ]
    assert "{mean_mm:.1f} $\\pm$ {sd_mm:.1f}".format(**row) in ours.values()
    assert r"mean $\pm$ standard deviation over training seeds" in text and "interval;" not in text


def test_protocols_by_data_set_are_named_and_explained(tables):
    named = {"h36m": PROTOCOLS["spin_h36m"], HOSTILE.split()[0]: PROTOCOLS["skeleton"]}
    text = to_latex(tables[3], 3, "systems", phrase_of(named) + ", hard selection")
    assert r"{\bfseries Human3.6M (spin\_h36m)}" in text
    assert escape(f"spin_h36m: {PROTOCOLS['spin_h36m'].in_words(gendered=False)}") in text


def test_no_name_is_a_command():
    assert escape("50% of a_b & c") == r"50\% of a\_b \& c"
    assert escape("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert all(escape(chr(code)).startswith(("\\", "$")) for code in ESCAPES)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_sets_the_tables(tables, tmp_path):
    texts = [to_latex(table, number, "a table", PROTOCOL) for number, table in tables.items()]
    (tmp_path / "a.tex").write_text(DOCUMENT % "\n".join(texts))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
