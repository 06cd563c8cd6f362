"""Figures say what their tables say, look the same every time, and leave nothing behind."""

import os
import shutil
import subprocess
import sys

import fake_errors
import matplotlib
import numpy as np
import pandas as pd
import pytest
from import_closure import ROOT

from pmnet.core.errors import InputError
from pmnet.report import drawing, figures
from pmnet.report.curves import curves
from pmnet.report.figures import reduction
from pmnet.report.files import write_csv
from pmnet.report.options import FigureSize, ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.tables import table5, table6

REPORT = ReportOptions(tails=[5, 10], bins=6, bootstrap=50, seed=0)
SIZE = FigureSize(width_in=6.0, height_in=3.0, dpi=50, font_pt=9.0)
NAMES = ["distance", "reduction", "k_sweep", "limb_sweep"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The CSV that each figure is drawn from."""
    folder, shape = tmp_path_factory.mktemp("tables"), {"datasets": ("cmu", "h36m"), "samples": 60}
    runs = RunErrors.read(fake_errors.write_runs(folder, **shape))
    by_k = RunErrors.read(fake_errors.write_sweep(folder, "k", [5, 50, 1000], **shape))
    by_limb = RunErrors.read(fake_errors.write_sweep(folder, "limb_weight", [1.0, 5.0], **shape))
    write_csv(curves(runs, REPORT), folder / "curves.csv")
    write_csv(table5(by_k, REPORT), folder / "table5.csv")
    write_csv(table6(by_limb, REPORT), folder / "table6.csv")
    names = {"distance": "curves", "reduction": "curves", "k_sweep": "table5"}
    return {
        name: folder / f"{table}.csv" for name, table in (names | {"limb_sweep": "table6"}).items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_the_same_again_whatever_the_users_style(files, name, tmp_path):
    before = dict(matplotlib.rcParams)
    for copy, own in (("a.png", {}), ("b.png", {"font.size": 20, "axes.facecolor": "black"})):
        with matplotlib.rc_context(own):
            drawing.save(figures.draw(name, files[name], SIZE), tmp_path / copy, SIZE)
    first, second = ((tmp_path / copy).read_bytes() for copy in ("a.png", "b.png"))
    assert first == second and first.startswith(PNG) and b"Software" not in first
    assert [int.from_bytes(first[at : at + 4]) for at in (16, 20)] == [300, 150]
    papers = [(tmp_path / copy).read_bytes() for copy in ("a.pdf", "b.pdf")]
    assert papers[0] == papers[1] and papers[0].startswith(b"%PDF-")
    assert dict(matplotlib.rcParams) == before
    assert len(list(tmp_path.iterdir())) == 4


def test_a_figure_for_papers_has_no_date_and_its_fonts_inside(files, tmp_path):
    figure = figures.draw("k_sweep", files["k_sweep"], SIZE)
    for vector in ("pdf", "svg"):
        drawing.save(figure, tmp_path / "a.png", SIZE, vector)
    pdf, svg = ((tmp_path / f"a.{vector}").read_bytes() for vector in ("pdf", "svg"))
    assert b"/CIDFontType2" in pdf and b"/FontFile2" in pdf and b"/Type3" not in pdf  # Type 42
    for word in (b"CreationDate", b"Creator", b"Producer", b"<dc:date>", b"<dc:creator>"):
        assert word not in pdf and word not in svg
    assert b"/MediaBox [ 0 0 432 216 ]" in pdf  # 6 by 3 inches of 72 points


def test_the_font_of_a_figure_is_as_large_as_its_settings_say(files):
    sizes = {}
    for points in (7.0, 14.0):
        size = FigureSize(width_in=6.0, height_in=3.0, dpi=50, font_pt=points)
        axes = figures.draw("k_sweep", files["k_sweep"], size).axes[0]
        sizes[points] = (
            axes.xaxis.label.get_fontsize(),
            axes.xaxis.get_ticklabels()[0].get_fontsize(),
        )
    assert sizes == {7.0: (7.0, 7.0), 14.0: (14.0, 14.0)}


def test_a_figure_for_one_column_of_a_paper_keeps_its_legend_inside(files):
    size = FigureSize(width_in=3.3, height_in=2.6, dpi=100, font_pt=6.0)
    figure = figures.draw("reduction", files["reduction"], size)
    figure.draw_without_rendering()
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1
    assert len(figure.legends[0].get_texts()) == 4


def test_the_error_against_distance(files):
    table = pd.read_csv(files["distance"])
    single = table[(table["run"] == "single") & (table["dataset"] == "cmu") & (table["n"] > 0)]
    upper, other, lower, _ = figures.draw("distance", files["distance"], SIZE).axes
    assert (upper.get_title("left"), other.get_title("left")) == ("cmu", "Human3.6M")
    assert np.allclose(upper.lines[0].get_xydata(), single[["distance_mm", "mpvpe_mm"]])
    assert [bar.get_height() for bar in lower.patches] == list(single["n"])
    assert "[mm]" in upper.get_ylabel() and "[mm]" in lower.get_xlabel()
    assert lower.get_ylabel() == "samples"


def test_the_reduction_has_a_line_a_memory_and_a_zero_line(files):
    figure = figures.draw("reduction", files["reduction"], SIZE)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["K-Means Naive", "Random Select", "3DH K-Means", "P3DH K-Means"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    table = pd.read_csv(files["reduction"])
    p3dh = table[(table["run"] == "p3dh_k50_l5.0") & (table["dataset"] == "cmu") & (table["n"] > 0)]
    assert np.allclose(lines["P3DH K-Means"].get_ydata(), p3dh["reduction_mm"])
    assert any(set(line.get_ydata()) == {0} for line in figure.axes[0].lines)
    assert len({line.get_color() for label, line in lines.items() if label in labels}) == 4


def test_two_runs_of_one_memory_keep_their_own_names(files):
    table = pd.read_csv(files["reduction"])
    both = table.replace({"run": {"3dh_k50": "p3dh_k10_l5.0"}})
    figure = reduction.draw(both, SIZE)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[2:] == ["p3dh_k10_l5.0", "p3dh_k50_l5.0"]
    with pytest.raises(InputError, match="single prototype alone"):
        reduction.draw(table[table["run"] == "single"], SIZE)


@pytest.mark.parametrize(("name", "values"), [("k_sweep", [5, 50, 1000]), ("limb_sweep", [1, 5])])
def test_a_sweep_draws_ours_alone(files, name, values):
    figure = figures.draw(name, files[name], SIZE)
    table = pd.read_csv(files[name])
    assert len(figure.axes) == 2  # h36m is ours here; the published rows of h36m are not drawn
    for axes, dataset in zip(figure.axes, ("cmu", "h36m"), strict=True):
        ours = table[(table["source"] == "ours") & (table["dataset"] == dataset)]
        drawn = [line for line in axes.lines if len(line.get_xdata()) == len(values)]
        points = np.concatenate([line.get_ydata() for line in drawn if line.get_linestyle() == "-"])
        assert sorted(points) == sorted(ours["mean_mm"])
        assert list(axes.get_xticks()) == values
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["all samples", "tail 5 %", "tail 10 %"]
    assert figure.axes[0].get_xscale() == ("log" if name == "k_sweep" else "linear")


def test_bad_tables_are_refused_by_name(files, tmp_path):
    bad = tmp_path / "curves.csv"
    for text, words in (
        (None, "not readable"),
        ("", "not readable"),
        ("run,dataset\n", "missing: bin"),
        (files["distance"].read_text().splitlines()[0] + "\n", "missing: rows"),
    ):
        if text is not None:
            bad.write_text(text)
        with pytest.raises(InputError, match=words) as refused:
            figures.draw("distance", bad, SIZE)
        assert str(refused.value).startswith(f"{bad}: ")
    with pytest.raises(InputError, match="distance, k_sweep, limb_sweep, quality, reduction"):
        figures.draw("pie", bad, SIZE)


PIE = '''"""Samples of each run as a pie."""

from pmnet.report.drawing import new_figure

COLUMNS = "run n"


def draw(table, size):
    """Return the pie."""
    with new_figure(size, "Samples") as figure:
        figure.subplots().pie(table.groupby("run")["n"].sum())
    return figure
'''


def test_a_figure_is_added_by_one_file_and_one_line_of_configuration(files, tmp_path):
    """The stage finds figures/pie.py by its name, and its size in params.yaml."""
    copy = tmp_path / "project"
    for folder in ("pmnet", "stages"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.npz"))
    (copy / "pmnet" / "report" / "figures" / "pie.py").write_text(PIE)
    line = "figures: {pie: {width_in: 6.0, height_in: 3.0, dpi: 50, font_pt: 9.0}}"
    (copy / "params.yaml").write_text(line)
    words = ("--name", "pie", "--data", files["distance"], "--out", copy / "pie.png")
    command = [sys.executable, "-m", "stages.figure", *map(str, words)]
    subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, check=True)
    png = (copy / "pie.png").read_bytes()
    assert png.startswith(PNG)
    assert [int.from_bytes(png[at : at + 4]) for at in (16, 20)] == [300, 150]
